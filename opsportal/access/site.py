"""The admin site with our sign-in: throttled, with a second factor where there is one or where everybody needs one."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from opsportal.access import two_factor
from opsportal.access.sign_in import SignIn
from opsportal.lib.admin import PortalAdminSite


class SignInSite(PortalAdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and two_factor.is_satisfied(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET":
            if self.has_permission(request):
                return redirect("admin:index")
            if super().has_permission(request):  # only the second factor is missing
                return self._second_factor(request)
        view = SignIn.as_view(extra_context={**self.each_context(request), **(extra_context or {})})
        response: HttpResponseBase = view(request)
        assert isinstance(response, HttpResponse)
        return response

    def _second_factor(self, request: HttpRequest) -> HttpResponseRedirect:
        has_device = two_factor.device_of(request.user) is not None
        place = reverse("access:login-verify" if has_device else "access:two-factor")
        wanted = request.GET.get("next", "")
        return HttpResponseRedirect(f"{place}?{urlencode({'next': wanted})}" if wanted else place)
