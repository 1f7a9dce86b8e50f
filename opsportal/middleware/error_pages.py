from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from opsportal import error_pages
from opsportal.clients.auth import NotAllowed, NotAuthenticated
from opsportal.lib.http import BadRequest


class ErrorPagesMiddleware:
    """A refusal without a body (405 by `require_POST`, say) becomes a page or a problem; so do the refusals that
    `read_json` and `authenticate` raise, and views need not catch them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            # No text of ours has it, and PostgreSQL takes none: every search would be a 500.
            return error_pages.answer(request, 400, "The address contains a NUL character.")
        response = self.get_response(request)
        if (
            response.status_code < 400
            or request.method == "HEAD"
            or not isinstance(response, HttpResponse)
            or response.content
        ):
            return response
        explained = error_pages.answer(request, response.status_code)
        for name, value in response.headers.items():
            if name not in ("Content-Type", "Content-Length"):
                explained.headers[name] = value
        explained.cookies = response.cookies
        return explained

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        match exception:
            case BadRequest():
                return error_pages.answer(request, exception.status, exception.detail)
            case NotAuthenticated():
                response = error_pages.answer(request, 401, str(exception))
                response.headers["WWW-Authenticate"] = "Bearer"
                return response
            case NotAllowed():
                return error_pages.answer(request, 403, str(exception))
        return None
