"""Read JSON requests and write JSON responses. Every refusal is a problem document (RFC 9457)."""

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from core.lib import request_id
from core.lib.scrub import has_email_address

T = TypeVar("T")


class BadRequest(Exception):
    """A request that is invalid or cannot be fulfilled. The client gets a problem document with this status."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


def url_with(name: str, parameters: Mapping[str, str]) -> str:
    """Return the URL of a view with the parameters that are not empty."""
    kept = {key: value for key, value in parameters.items() if value}
    return reverse(name) + (f"?{urlencode(kept)}" if kept else "")


# The pattern matches the escape sequence, but not an escaped backslash that is followed by "u0000".
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def refuse_nul(body: bytes) -> None:
    """Raise BadRequest (422) if a JSON body contains a NUL character, which PostgreSQL cannot store in text."""
    if b"\\u0000" in body and _NUL.search(body):
        raise BadRequest("a string contains a NUL character (\\u0000)", 422)


def read_json(request: HttpRequest, shape: type[T]) -> T:
    """Decode the body into a `shape` (a msgspec.Struct).

    Raises BadRequest (400 or 422) with a sentence that tells the client what to change.
    """
    refuse_nul(request.body)
    try:
        return msgspec.json.decode(request.body, type=shape)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error), 422) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error


def refuse_email_address(name: str, text: str) -> None:
    """Raise ValueError if an identifier, which is stored as it is, contains an e-mail address.

    If the `__post_init__` of a msgspec.Struct calls this function, `read_json` raises BadRequest (422).
    """
    if has_email_address(text):
        raise ValueError(f"{name} must not contain an e-mail address")


def json_response(
    data: object, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(data), status=status, content_type="application/json", headers=headers
    )


TITLES = {
    400: "Bad request",
    401: "Authentication needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid",
    429: "Too many requests",
    500: "Internal error",
    502: "Upstream failed",
    503: "Unavailable",
}


def problem(
    status: int,
    detail: str = "",
    *,
    title: str = "",
    type: str = "about:blank",
    headers: dict[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """Return a refusal as `application/problem+json` with the request id and the given further members."""
    body = {
        "type": type,
        "title": title or TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "request_id": request_id.current(),
        **members,
    }
    return HttpResponse(
        msgspec.json.encode(body),
        status=status,
        content_type="application/problem+json",
        headers=headers,
    )


def too_many_requests(detail: str, retry_after: float) -> HttpResponse:
    """Return a 429 that states the wait in seconds in both the header and the body."""
    wait = max(1, math.ceil(retry_after))
    return problem(
        429, detail, headers={"Retry-After": str(wait)}, error=TITLES[429], retryAfter=wait
    )


def accepts_gzip(accept_encoding: str) -> bool:
    """Return True if an Accept-Encoding header names gzip without refusing it by `q=0`."""
    return any(
        coding.partition(";")[0].strip().lower() == "gzip"
        and "q=0" not in coding.replace("q=0.", "")
        for coding in accept_encoding.split(",")
    )
