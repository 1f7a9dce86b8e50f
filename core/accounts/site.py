"""Define the admin site with throttled sign-in and two-factor sign-in."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from core.accounts.services import two_factor
from core.accounts.views.sign_in import SignIn, redirect_with_next
from core.lib.admin_site import PortalAdminSite


class SignInSite(PortalAdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and two_factor.is_satisfied(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET":
            if self.has_permission(request):
                return redirect("admin:index")
            if super().has_permission(request):
                return self._redirect_to_second_factor(request)
        view = SignIn.as_view(extra_context={**self.each_context(request), **(extra_context or {})})
        response: HttpResponseBase = view(request)
        assert isinstance(response, HttpResponse)
        return response

    def _redirect_to_second_factor(self, request: HttpRequest) -> HttpResponseRedirect:
        is_enabled = two_factor.is_enabled(request.user)
        url_name = "access:login-verify" if is_enabled else "access:two-factor"
        return redirect_with_next(url_name, request.GET.get("next", ""))
