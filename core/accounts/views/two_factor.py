"""Show the page on which users manage their own two-factor sign-in."""

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

from core.accounts.models import AccessPolicy, RecoveryCode
from core.accounts.services import audit, passkeys, throttle, two_factor

UserView = Callable[[HttpRequest, User], HttpResponse]


def for_signed_in_user(view: UserView) -> Callable[[HttpRequest], HttpResponse]:
    """Require a signed-in staff user, and the second factor if the user has one.

    The admin's own check would keep out users who have yet to set up a required second factor.
    """

    @never_cache
    @sensitive_post_parameters("code")
    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        user = request.user
        if not isinstance(user, User) or not (user.is_active and user.is_staff):
            return redirect("admin:login")
        if two_factor.is_enabled(user) and not two_factor.is_satisfied(request):
            return redirect("access:login-verify")
        return view(request, user)

    return wrapper


@for_signed_in_user
def two_factor_page(request: HttpRequest, user: User) -> HttpResponse:
    return render_page(request, user)


@require_POST
@for_signed_in_user
def confirm(request: HttpRequest, user: User) -> HttpResponse:
    if two_factor.device_of(user):
        return redirect("access:two-factor")
    throttle.count_sign_in(request, user.get_username())
    device = two_factor.draft_device(user)
    codes = two_factor.confirm(user, device, request.POST.get("code", ""))
    if codes is None:
        return render_page(request, user, is_wrong=True)
    two_factor.remember_verified(request.session, device.persistent_id)
    request.session.cycle_key()
    audit.record(user, "second factor turned on")
    return render_page(request, user, codes=codes)


@require_POST
@for_signed_in_user
def renew_codes(request: HttpRequest, user: User) -> HttpResponse:
    if not _has_entered_code(request, user):
        return render_page(request, user, is_wrong=True)
    audit.record(user, "recovery codes renewed")
    return render_page(request, user, codes=RecoveryCode.objects.renew_for(user))


@require_POST
@for_signed_in_user
def turn_off(request: HttpRequest, user: User) -> HttpResponse:
    if not _has_entered_code(request, user):
        return render_page(request, user, is_wrong=True)
    two_factor.remove_phone(user)
    if not two_factor.is_enabled(user):
        two_factor.clear_verified(request.session)
    audit.record(user, "second factor turned off")
    messages.success(request, "The authenticator app is no longer used.")
    return redirect("access:two-factor")


def _has_entered_code(request: HttpRequest, user: User) -> bool:
    """Return True if the form contains a valid code. This protects users who leave their screen unlocked."""
    throttle.count_sign_in(request, user.get_username())
    return bool(two_factor.verify(user, request.POST.get("code", ""), now=timezone.now()))


def render_page(
    request: HttpRequest, user: User, *, is_wrong: bool = False, codes: list[str] | None = None
) -> HttpResponse:
    device = two_factor.device_of(user)
    draft = None if device else two_factor.draft_device(user)
    context = {
        **admin.site.each_context(request),
        "title": "Two-factor sign-in",
        "lead": "Protect your account with a passkey, or with a code from your phone in addition to your password.",
        "passkeys": user.passkeys.order_by("created_at", "pk"),
        "may_add_passkey": passkeys.is_available(),
        "device": device,
        "is_wrong": is_wrong,
        "codes": codes,
        "codes_left": RecoveryCode.objects.filter(user=user, used_at=None).count(),
        "is_required": AccessPolicy.current().require_second_factor,
        "setup_key": two_factor.setup_key(draft) if draft else "",
        "qr_image": two_factor.qr_image(draft) if draft else "",
    }
    return render(request, "access/two_factor.html", context)
