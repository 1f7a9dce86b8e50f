"""Sign users in with name and password, and then with the second factor if they have one."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import login as auth_login
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from core.accounts.models import AccessPolicy, Passkey
from core.accounts.services import audit, passkeys, single_sign_on, throttle, two_factor

PENDING = "access.pending"  # The session stores a completed first step under this key.
PENDING_TIMEOUT_SECONDS = 300


class SignInForm(AdminAuthenticationForm):
    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "The username or the password is incorrect. Check both for capital letters.",
    }


@method_decorator(never_cache, "dispatch")
class SignIn(LoginView):
    authentication_form = SignInForm
    template_name = "admin/login.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        throttle.count_sign_in(request, request.POST.get("username", ""))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        if not single_sign_on.may_use_password(user):
            audit.record(user, "password sign-in refused: single sign-on is required")
            form.add_error(None, "Sign in with your identity provider.")
            return self.form_invalid(form)
        if two_factor.is_enabled(user):
            self.request.session[PENDING] = {
                "user": user.pk,
                "backend": user.backend,
                "password": user.password,
                "until": timezone.now().timestamp() + PENDING_TIMEOUT_SECONDS,
            }
            return redirect_with_next("access:login-verify", self.get_redirect_url())
        auth_login(self.request, user)
        response = HttpResponseRedirect(self.get_success_url())
        throttle.remember_browser(self.request, response, user)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        context["title"] = "Sign in"
        context["app_path"] = self.request.get_full_path()
        context["username"] = self.request.user.get_username()
        context["offers_passkeys"] = passkeys.is_available() and Passkey.objects.exists()
        context["providers"] = single_sign_on.enabled_providers()
        context["is_password_hidden"] = (
            context["providers"]
            and AccessPolicy.current().require_single_sign_on
            and not context["form"].is_bound
        )
        return context


def redirect_with_next(url_name: str, next_url: str) -> HttpResponseRedirect:
    """Redirect to a named URL, and pass on `next_url`, if given, as the page to open afterwards."""
    url = reverse(url_name)
    return HttpResponseRedirect(f"{url}?{urlencode({'next': next_url})}" if next_url else url)


class Next(RedirectURLMixin):
    """The URL to continue to after the sign-in, limited to URLs of this portal."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    @property
    def url(self) -> str:
        return self.get_redirect_url() or resolve_url(settings.LOGIN_REDIRECT_URL)


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Show the form for the second factor, and check what the user enters.

    Users who are already signed in see this page too if they have set up two-factor sign-in in another browser.
    """
    user = pending_user(request)
    if user is None:
        return redirect("admin:login")
    is_wrong = False
    if request.method == "POST":
        throttle.count_sign_in(request, user.get_username())
        factor = two_factor.verify(user, request.POST.get("code", ""), now=timezone.now())
        if factor:
            complete(request, user)
            two_factor.remember_verified(request.session, factor)
            response = HttpResponseRedirect(Next(request).url)
            throttle.remember_browser(request, response, user)
            return response
        audit.record(user, "second factor failed")
        is_wrong = True
    context = {
        **admin.site.each_context(request),
        "title": "Two-factor sign-in",
        "is_wrong": is_wrong,
        "has_phone": two_factor.device_of(user) is not None,
        "has_passkey": passkeys.is_available() and user.passkeys.exists(),
        "next": Next(request).url,
    }
    return render(request, "access/verify.html", context)


def pending_user(request: HttpRequest) -> User | None:
    pending = request.session.get(PENDING)
    if pending and pending["until"] > timezone.now().timestamp():
        user = User.objects.filter(pk=pending["user"], is_active=True).first()
        # If the password has changed since the first step, the user must start again.
        if user is not None and user.password == pending["password"]:
            user.backend = pending["backend"]
            return user
    signed_in = request.user
    if isinstance(signed_in, User) and signed_in.is_staff and two_factor.is_enabled(signed_in):
        return signed_in
    return None


def complete(request: HttpRequest, user: User) -> None:
    if request.session.pop(PENDING, None):
        auth_login(request, user)  # This changes the session id, which prevents session fixation.
    else:
        request.session.cycle_key()
