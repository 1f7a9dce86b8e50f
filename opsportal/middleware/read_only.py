from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.lib import read_only
from opsportal import error_pages

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class ReadOnlyMiddleware:
    """Middleware that refuses requests that may change something while the portal is read-only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method not in SAFE_METHODS and (notice := read_only.current()):
            return error_pages.read_only_refusal(request, notice)
        return self.get_response(request)
