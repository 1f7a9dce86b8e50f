"""Pages and buttons for staff."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from alerts import services
from alerts.models import SystemAlert

may_view = permission_required("alerts.view_systemalert", raise_exception=True)
may_change = permission_required("alerts.change_systemalert", raise_exception=True)


@may_view
def inbox(request: HttpRequest) -> HttpResponse:
    return redirect("admin:alerts_systemalert_changelist")


@may_view
def page(request: HttpRequest, pk: int) -> HttpResponse:
    return redirect("admin:alerts_systemalert_change", pk)


@require_POST
@may_change
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, services.dismiss, "Dismissed")


@require_POST
@may_change
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, services.acknowledge, "Acknowledged")


def _act(request: HttpRequest, pk: int, act: Callable[..., int], word: str) -> HttpResponse:
    """Do it to one alert. htmx gets an event that lists of alerts listen to, a plain form goes back where it came from."""
    alert = get_object_or_404(SystemAlert.objects.visible(), pk=pk)
    changed = act([alert], user=request.user, now=timezone.now())
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": "alerts-changed"})
    if changed:
        messages.success(request, f"{word}: {alert.title}")
    else:
        messages.info(request, f"Nothing to do: {alert.title} is {alert.get_state_display()}.")
    return redirect(safe_next(request))


def safe_next(request: HttpRequest) -> str:
    """Where the form asked to go afterwards, if that is on this site."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return reverse("alerts:alert-list")
