"""What somebody sees when a request is refused or breaks: a page with a way back, or a problem as JSON.

The pages need no database and no session, because they are also shown when those are what broke. `urls.py` names the
handlers; Django has logged the exception, once, with the request's id, when they are called.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.http import url_has_allowed_host_and_scheme
from django_ratelimit.exceptions import Ratelimited

from opsportal.lib import request_id
from opsportal.lib.http import problem


@dataclass(frozen=True)
class Words:
    title: str
    explanation: str
    advice: str


WORDS = {
    400: Words(
        "This request cannot be understood",
        "Something in it is not as it must be.",
        "Go back and try again; if you typed the address, check it.",
    ),
    401: Words(
        "Sign in first", "This page is for people who are signed in.", "Sign in and try again."
    ),
    403: Words(
        "You may not do this",
        "Your account does not have the permission for it.",
        "Ask an owner of this portal for it, or sign in with another account.",
    ),
    404: Words(
        "There is nothing here",
        "The address is wrong, or what it showed has been removed.",
        "Check the address, or start from the overview.",
    ),
    405: Words(
        "Not this way",
        "This address does not take this kind of request.",
        "Go back and use the page's own buttons.",
    ),
    413: Words(
        "That is too large", "The portal takes no request of this size.", "Send less at once."
    ),
    429: Words(
        "Too many requests",
        "So many came from you in a short time that the portal answers no more for a moment.",
        "Wait a little, then try again.",
    ),
    500: Words(
        "Something broke",
        "It is our fault, not yours, and it has been recorded.",
        "Try again. If it stays broken, tell an owner of this portal the reference below.",
    ),
    503: Words(
        "Not available right now",
        "Something the portal needs, such as its database, does not answer.",
        "It is tried again all the time: try again in a minute.",
    ),
}
CSRF = Words(
    "This form is too old",
    "You may have signed in or out since you opened it, or your browser keeps no cookies for this site.",
    "Go back, reload the page, and send it again.",
)


def wants_json(request: HttpRequest) -> bool:
    """Programs do: on the API's addresses, and whoever asks for JSON and not for HTML."""
    if request.path_info.startswith("/api/"):
        return True
    accept = request.headers.get("Accept", "")
    return "json" in accept and "text/html" not in accept


def answer(
    request: HttpRequest,
    status: int,
    detail: str = "",
    *,
    words: Words | None = None,
    retry_after: int | None = None,
    **members: Any,
) -> HttpResponse:
    """The refusal, as whoever asked can read it. `detail` is said to programs, and to people below the explanation."""
    words = words or WORDS.get(status) or WORDS[400 if status < 500 else 500]
    if wants_json(request):
        response = problem(status, detail or words.explanation, **members)
    else:
        context = {
            "status": status,
            "words": words,
            "detail": detail,
            "retry_after": retry_after,
            "request_id": request_id.current(),
            "back": _page_before(request),
            "stylesheet": _stylesheet(),
        }
        response = HttpResponse(
            render_to_string("opsportal/error_page.html", context), status=status
        )
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _stylesheet() -> str:
    name = "opsportal/error_page.css"
    try:
        return static(name)
    except ValueError:  # static files were not collected: no reason to fail once more
        return f"{settings.STATIC_URL}{name}"


def _page_before(request: HttpRequest) -> str:
    """Where they came from, if that is a page of ours and not this one."""
    page = request.META.get("HTTP_REFERER", "")
    try:
        here = request.build_absolute_uri()
        host = request.get_host()
    except DisallowedHost:
        return ""
    if page == here:
        return ""
    is_ours = url_has_allowed_host_and_scheme(page, {host}, require_https=request.is_secure())
    return page if is_ours else ""


# --- Django's handlers ---------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return answer(request, 413)
    if isinstance(exception, DisallowedHost):
        return answer(request, 400, "This portal does not answer under that host name.")
    return answer(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, Ratelimited):
        return too_many_requests(request, 60)
    return answer(request, 403)


def too_many_requests(request: HttpRequest, retry_after: float) -> HttpResponse:
    """The one 429 of the portal: by the middleware's limits and by django-ratelimit's on single views."""
    seconds = max(1, math.ceil(retry_after))
    return answer(
        request,
        429,
        f"Try again in {seconds} seconds.",
        retry_after=seconds,
        error="Too many requests",
        retryAfter=seconds,
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return answer(request, 503, retry_after=30)
    return answer(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """settings.CSRF_FAILURE_VIEW"""
    return answer(request, 403, words=CSRF)
