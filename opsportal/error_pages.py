"""Respond to rejected and failed requests with a page for people, or a problem document for programs.

The pages use neither the database nor the session, because either may have failed. Django finds the handlers by their
names in `urls.py`, and logs the exception before it calls one of them.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.http import url_has_allowed_host_and_scheme
from django_ratelimit.exceptions import Ratelimited

from core.lib import read_only, request_id
from core.lib.http import problem
from core.limits.tiers import is_sign_in


@dataclass(frozen=True)
class ErrorText:
    title: str
    explanation: str
    advice: str = ""


TEXTS = {
    400: ErrorText(
        "Bad request",
        "The request is malformed or incomplete.",
        "Go back and try again. If you typed the address, check it.",
    ),
    401: ErrorText(
        "Sign-in required", "This page is for signed-in users only.", "Sign in and try again."
    ),
    403: ErrorText(
        "Access denied",
        "Your account does not have the required permission.",
        "Ask an owner of this portal for access, or sign in with another account.",
    ),
    404: ErrorText(
        "Page not found",
        "The link may be wrong, or the item has been deleted.",
        "Check the address, or start from the overview.",
    ),
    405: ErrorText(
        "Method not allowed",
        "This address does not accept this type of request.",
        "Go back and use the buttons on the page.",
    ),
    413: ErrorText(
        "Request too large", "The request exceeds the size limit.", "Send less data per request."
    ),
    429: ErrorText(
        "Too many requests", "The portal limits how many requests you can send in a short time."
    ),
    500: ErrorText(
        "Something went wrong",
        "This is an error in the portal. It has been recorded.",
        "Try again. If the problem persists, send the reference below to your administrator.",
    ),
    503: ErrorText(
        "Temporarily unavailable",
        "A service that the portal needs, such as its database, is not responding.",
        "We are retrying automatically; please try again in a minute.",
    ),
}
SIGN_IN_LIMIT_TEXT = ErrorText(
    "Too many attempts to sign in",
    "To protect accounts, the portal limits attempts to sign in and to change or reset a password.",
)
READ_ONLY_TITLE = "Read-only for now"
CSRF_TEXT = ErrorText(
    "This form has expired",
    "You may have signed in or out since you opened the form, or your browser blocks cookies for this site.",
    "Go back, reload the page, and submit the form again.",
)


def wants_json(request: HttpRequest) -> bool:
    """Return True for API paths, and for clients that accept JSON but not HTML."""
    if request.path_info.startswith(("/api/", "/v1/")):
        return True
    accept = request.headers.get("Accept", "")
    return "json" in accept and "text/html" not in accept


def error_response(
    request: HttpRequest,
    status: int,
    detail: str = "",
    *,
    text: ErrorText | None = None,
    retry_after: int | None = None,
    **members: Any,
) -> HttpResponse:
    """Return a page or a problem document, depending on the client.

    `detail` is the detail of the problem document; pages show it below the explanation. `members` are additional
    members of the problem document.
    """
    text = text or TEXTS.get(status) or TEXTS[400 if status < 500 else 500]
    if wants_json(request):
        response = problem(status, detail or text.explanation, **members)
    else:
        context = {
            "status": status,
            "text": text,
            "detail": detail,
            "request_id": request_id.current(),
            "previous_url": _previous_url(request),
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
    except ValueError:
        # Static files have not been collected, but the error page must be shown nevertheless.
        return f"{settings.STATIC_URL}{name}"


def _previous_url(request: HttpRequest) -> str:
    """Return the URL of the referring page, or "" if that page is not another page of this portal."""
    referrer = request.META.get("HTTP_REFERER", "")
    try:
        current_url = request.build_absolute_uri()
        host = request.get_host()
    except DisallowedHost:
        return ""
    if referrer == current_url:
        return ""
    is_ours = url_has_allowed_host_and_scheme(referrer, {host}, require_https=request.is_secure())
    return referrer if is_ours else ""


# --- Django's handlers ---------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return error_response(request, 413)
    if isinstance(exception, DisallowedHost):
        return error_response(request, 400, "This portal does not serve the requested host name.")
    return error_response(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, Ratelimited):
        return too_many_requests(request, 60)
    return error_response(request, 403)


def too_many_requests(request: HttpRequest, retry_after: float) -> HttpResponse:
    """Return a 429 for a request that exceeds a limit. `retry_after` is in seconds."""
    seconds = max(1, math.ceil(retry_after))
    return error_response(
        request,
        429,
        f"Try again in {seconds} second{pluralize(seconds)}.",
        text=SIGN_IN_LIMIT_TEXT if is_sign_in(request.path_info) else None,
        retry_after=seconds,
        error="Too many requests",
        retryAfter=seconds,
    )


def read_only_refusal(request: HttpRequest, notice: read_only.Notice) -> HttpResponse:
    """Return a 503 for a change that the portal cannot make while it is read-only."""
    text = ErrorText(
        READ_ONLY_TITLE,
        notice.text,
        "Nothing was changed. Pages can still be read. Please try again later.",
    )
    return error_response(request, 503, text=text, retry_after=read_only.RETRY_AFTER_SECONDS)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        if notice := read_only.current():
            return read_only_refusal(request, notice)
        return error_response(request, 503, retry_after=30)
    return error_response(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a failed CSRF check. Django calls this view through settings.CSRF_FAILURE_VIEW."""
    return error_response(request, 403, text=CSRF_TEXT)
