from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from core.clients.auth import NotAllowed, NotAuthenticated
from core.lib.http import BadRequest
from opsportal import error_pages


class ErrorPagesMiddleware:
    """Middleware that turns error responses without a body, such as a 405, into a page or a problem document.

    It also handles the exceptions of `read_json` and `authenticate`, so that views need not catch them.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL rejects NUL characters in text, so a search for one would otherwise cause a 500.
            return error_pages.error_response(request, 400, "The URL contains a NUL character.")
        response = self.get_response(request)
        if (
            response.status_code < 400
            or request.method == "HEAD"
            or not isinstance(response, HttpResponse)
            or response.content
        ):
            return response
        error_response = error_pages.error_response(request, response.status_code)
        for name, value in response.headers.items():
            if name not in ("Content-Type", "Content-Length"):
                error_response.headers[name] = value
        error_response.cookies = response.cookies
        return error_response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        match exception:
            case BadRequest():
                return error_pages.error_response(request, exception.status, exception.detail)
            case NotAuthenticated():
                response = error_pages.error_response(request, 401, str(exception))
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
            case NotAllowed():
                return error_pages.error_response(request, 403, str(exception))
        return None
