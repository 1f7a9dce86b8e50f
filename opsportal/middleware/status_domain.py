"""Serve the status page on its own domain, and no other page there."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.urls import is_valid_path

STATUS_URLCONF = "health.status_urls"


class StatusDomainMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if self._is_status_domain(request):
            if not is_valid_path(request.path_info, STATUS_URLCONF):
                text = "There is no such page on this domain.\n"
                return HttpResponse(text, "text/plain; charset=utf-8", status=404)
            request.urlconf = STATUS_URLCONF
        return self.get_response(request)

    def _is_status_domain(self, request: HttpRequest) -> bool:
        host, _ = split_domain_port(request.META.get("HTTP_HOST", ""))
        return bool(host) and host == settings.STATUS_PAGE_DOMAIN
