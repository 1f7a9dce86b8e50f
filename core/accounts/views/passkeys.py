"""Add, use and remove passkeys. The browser requests options, then submits a form with the authenticator's response."""

from django.contrib import messages
from django.contrib.auth import login as auth_login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from core.accounts.models import Passkey
from core.accounts.services import audit, passkeys, sessions, single_sign_on, throttle, two_factor
from core.accounts.views.sign_in import Next, complete, pending_user, redirect_with_next
from core.accounts.views.two_factor import for_signed_in_user, render_page

SIGN_IN_AGAIN = (
    "Sign in again first. Passkeys can be changed only within ten minutes after you sign in."
)
BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_POST
@for_signed_in_user
def creation_options(request: HttpRequest, user: User) -> HttpResponse:
    now = timezone.now()
    if not passkeys.is_available():
        return JsonResponse({"problem": "Passkeys need HTTPS and a host name."}, status=409)
    if not sessions.is_recent(request, now=now):
        return JsonResponse({"problem": SIGN_IN_AGAIN}, status=409)
    return JsonResponse(passkeys.begin_registration(request.session, user, now=now))


@require_POST
@for_signed_in_user
def add(request: HttpRequest, user: User) -> HttpResponse:
    """Store a passkey. The session counts as verified, because the person has just proved both factors."""
    now = timezone.now()
    if not sessions.is_recent(request, now=now):
        messages.error(request, SIGN_IN_AGAIN)
        return redirect("access:two-factor")
    try:
        codes = passkeys.finish_registration(
            request.session,
            user,
            request.POST.get("credential", ""),
            name=request.POST.get("name", ""),
            now=now,
        )
    except passkeys.Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("access:two-factor")
    two_factor.remember_verified(request.session, passkeys.FACTOR)
    request.session.cycle_key()
    audit.record(user, "passkey added")
    messages.success(request, "The passkey was added. You can sign in with it.")
    return render_page(request, user, codes=codes) if codes else redirect("access:two-factor")


@require_POST
def remove(request: HttpRequest, passkey_id: int) -> HttpResponse:
    passkey = get_object_or_404(Passkey, pk=passkey_id, user=request.user)
    if not sessions.is_recent(request, now=timezone.now()):
        messages.error(request, SIGN_IN_AGAIN)
        return redirect("access:two-factor")
    passkeys.remove(passkey)
    audit.record(request.user, "passkey removed")
    messages.success(request, f"The passkey “{passkey.name}” was removed.")
    return redirect("access:two-factor")


@never_cache
@require_POST
def sign_in_options(request: HttpRequest) -> HttpResponse:
    if not passkeys.is_available():
        return JsonResponse({"problem": "Passkeys need HTTPS and a host name."}, status=409)
    user = pending_user(request)
    return JsonResponse(passkeys.begin_sign_in(request.session, user, now=timezone.now()))


@never_cache
@require_POST
@sensitive_post_parameters("credential")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone, or as the second factor after the password."""
    first = pending_user(request)
    # Without a user name, the limit per client address is enough, because a signature cannot be guessed.
    if first is not None:
        throttle.count_sign_in(request, first.get_username())
    next_url = Next(request)
    try:
        user = passkeys.finish_sign_in(
            request.session, request.POST.get("credential", ""), now=timezone.now()
        )
        if first is None and not single_sign_on.may_use_password(user):
            audit.record(user, "passkey refused: single sign-on is required")
            raise passkeys.Refused("Sign in with your identity provider.")
    except passkeys.Refused as refusal:
        if first is not None:
            audit.record(first, "second factor failed")
        messages.error(request, str(refusal))
        return redirect_with_next(
            "access:login-verify" if first else "admin:login", next_url.get_redirect_url()
        )
    if first is not None:
        complete(request, user)
    else:
        user.backend = BACKEND
        auth_login(request, user)
    two_factor.remember_verified(request.session, passkeys.FACTOR)
    response = HttpResponseRedirect(next_url.url)
    throttle.remember_browser(request, response, user)
    return response
