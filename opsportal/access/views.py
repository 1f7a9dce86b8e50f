"""Everybody's own second factor: set up, new recovery codes, off."""

from collections.abc import Callable
from functools import wraps

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from opsportal.access import audit, throttle, two_factor
from opsportal.access.models import AccessPolicy, RecoveryCode

OwnView = Callable[[HttpRequest, User], HttpResponse]


def own(view: OwnView) -> Callable[[HttpRequest], HttpResponse]:
    """For staff who are signed in; whoever has a second factor must have shown it, who lacks it may come to set it up."""

    @never_cache
    @sensitive_post_parameters("code")
    @wraps(view)
    def called(request: HttpRequest) -> HttpResponse:
        user = request.user
        if not isinstance(user, User) or not (user.is_active and user.is_staff):
            return redirect("admin:login")
        if two_factor.device_of(user) and not two_factor.is_satisfied(request):
            return redirect("access:login-verify")
        return view(request, user)

    return called


@own
def two_factor_page(request: HttpRequest, user: User) -> HttpResponse:
    return _page(request, user)


@require_POST
@own
def confirm(request: HttpRequest, user: User) -> HttpResponse:
    if two_factor.device_of(user):
        return redirect("access:two-factor")
    throttle.attempt(request, user.get_username())
    device = two_factor.draft_device(user)
    codes = two_factor.confirm(user, device, request.POST.get("code", ""))
    if codes is None:
        return _page(request, user, wrong=True)
    two_factor.remember_verified(request.session, device)
    request.session.cycle_key()
    audit.record(user, "second factor turned on")
    return _page(request, user, codes=codes)


@require_POST
@own
def renew_codes(request: HttpRequest, user: User) -> HttpResponse:
    if not _proved(request, user):
        return _page(request, user, wrong=True)
    audit.record(user, "recovery codes renewed")
    return _page(request, user, codes=RecoveryCode.objects.renew_for(user))


@require_POST
@own
def turn_off(request: HttpRequest, user: User) -> HttpResponse:
    if not _proved(request, user):
        return _page(request, user, wrong=True)
    two_factor.remove(user)
    two_factor.forget_verified(request.session)
    audit.record(user, "second factor turned off")
    messages.success(request, "Your second factor is off.")
    return redirect("access:two-factor")


def _proved(request: HttpRequest, user: User) -> bool:
    """A fresh code: somebody at an unlocked screen must not take the second factor away."""
    throttle.attempt(request, user.get_username())
    return bool(two_factor.verify(user, request.POST.get("code", ""), now=timezone.now()))


def _page(
    request: HttpRequest, user: User, *, wrong: bool = False, codes: list[str] | None = None
) -> HttpResponse:
    device = two_factor.device_of(user)
    draft = None if device else two_factor.draft_device(user)
    context = {
        **admin.site.each_context(request),
        "title": "Two-factor sign-in",
        "lead": "A password alone can be stolen; a code from your phone as well is much harder.",
        "device": device,
        "wrong": wrong,
        "codes": codes,
        "codes_left": RecoveryCode.objects.filter(user=user, used_at=None).count(),
        "is_required": AccessPolicy.current().require_second_factor,
        "setup_key": two_factor.setup_key(draft) if draft else "",
        "qr_image": two_factor.qr_image(draft) if draft else "",
    }
    return render(request, "access/two_factor.html", context)
