"""Serve the pages that cancel an event and report the progress of its cancellation."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from core.lib.admin import log_change
from core.lib.app_access import limit, sees_every_app
from reservations import services
from reservations.models import Cancellation, Event
from reservations.queries.cancellation import collect_progress, forecast, list_open_items

MAX_LISTED = 200
View = Callable[[HttpRequest, str], HttpResponse]
may_see = permission_required("reservations.view_reservation", raise_exception=True)


def can_cancel(request: HttpRequest) -> bool:
    """Return True if the user may cancel events.

    The user must have access to all apps, because any app may have sold the tickets.
    """
    needed = ["reservations.change_event", "payments.change_payment"]
    return request.user.has_perms(needed) and sees_every_app()


def may_cancel(view: View) -> View:
    @wraps(view)
    def wrapper(request: HttpRequest, slug: str) -> HttpResponse:
        if not can_cancel(request):
            raise PermissionDenied
        return view(request, slug)

    return wrapper


class CancelForm(forms.Form):
    reason = forms.CharField(max_length=200, help_text="The reason is stored with each refund.")
    confirmation = forms.CharField(max_length=80)

    def __init__(self, event: Event, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.event = event
        self.fields["confirmation"].label = f"Type {event.slug} to confirm"
        for field in self.fields.values():
            field.widget.attrs |= {"class": "input", "autocomplete": "off"}

    def clean_confirmation(self) -> str:
        given = str(self.cleaned_data["confirmation"]).strip()
        if given != self.event.slug:
            raise forms.ValidationError("This does not match the identifier of the event.")
        return given


@may_cancel
@require_http_methods(["GET", "POST"])
def cancel_event(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the effects of a cancellation, and start it when the user has typed the event's identifier."""
    event = get_object_or_404(Event, slug=slug)
    if event.cancelled_at:
        return redirect("reservations:cancellation", slug)
    form = CancelForm(event, request.POST or None)
    if form.is_valid():
        assert isinstance(request.user, User)
        try:
            services.cancel_event(
                event=event,
                reason=form.cleaned_data["reason"],
                user=request.user,
                now=timezone.now(),
            )
        except services.AlreadyCancelled:
            messages.info(request, "The event was already cancelled.")
        else:
            log_change(request, event, f"cancelled: {form.cleaned_data['reason']}"[:200])
        return redirect("reservations:cancellation", slug)
    context = {
        **admin.site.each_context(request),
        "title": f"Cancel {event}",
        "event": event,
        "form": form,
        "forecast": forecast(event),
    }
    return render(
        request, "reservations/cancel_event.html", context, status=400 if form.errors else 200
    )


@may_see
def cancellation_page(request: HttpRequest, slug: str) -> HttpResponse:
    cancellation = get_object_or_404(
        Cancellation.objects.select_related("event", "started_by"), event__slug=slug
    )
    context = {
        **admin.site.each_context(request),
        "title": f"Cancellation of {cancellation.event}",
        "cancellation": cancellation,
        "progress": collect_progress(cancellation),
        "open_items": limit(list_open_items(cancellation))[:MAX_LISTED],
        "may_cancel": can_cancel(request),
    }
    is_part = request.headers.get("HX-Request") == "true"
    template = "reservations/_cancellation.html" if is_part else "reservations/cancellation.html"
    return render(request, template, context)


@may_cancel
@require_POST
def retry_failed(request: HttpRequest, slug: str) -> HttpResponse:
    cancellation = get_object_or_404(Cancellation, event__slug=slug)
    count = services.retry_failed(cancellation)
    if count:
        log_change(request, cancellation.event, f"{count} failed refunds queued again")
        messages.success(request, f"{count} refund{'s' if count > 1 else ''} will be retried.")
    else:
        messages.info(request, "No refund has failed.")
    return redirect("reservations:cancellation", slug)
