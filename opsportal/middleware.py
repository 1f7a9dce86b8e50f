"""Our middleware, in the order settings.MIDDLEWARE runs it.

1. RequestIdMiddleware: first, so that everything after it logs with the id.
2. SecurityHeadersMiddleware: on every answer, also those that later middleware gives.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from opsportal.lib import request_id

Handler = Callable[[HttpRequest], HttpResponse]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
)


class RequestIdMiddleware:
    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with request_id.use(request_id.accept(request.headers.get("X-Request-ID"))):
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.current()
            return response


class SecurityHeadersMiddleware:
    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=()"
        )
        return response
