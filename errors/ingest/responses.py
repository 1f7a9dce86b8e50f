"""Build the responses of ingestion, with CORS headers that allow pages of other sites to report errors."""

from typing import NamedTuple

from core.lib.http import TITLES
from errors.event import json_codec

Headers = list[tuple[str, str]]


class Response(NamedTuple):
    status: int
    headers: Headers
    body: bytes


CORS = [
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Max-Age", "3600"),
    (
        "Access-Control-Allow-Headers",
        "x-sentry-auth, x-requested-with, origin, accept, content-type, authentication, authorization, "
        "content-encoding, transfer-encoding, sentry-trace, baggage, x-api-key, x-opsportal-key, x-request-id",
    ),
    (
        "Access-Control-Expose-Headers",
        "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After, X-Request-ID",
    ),
]
JSON = ("Content-Type", "application/json")
# With this header, SDKs do not send data that the portal would drop. The header must not list data that the portal
# stores: error, transaction, session, monitor, feedback, log_item.
UNSUPPORTED = ("X-Sentry-Rate-Limits", "3600:profile;profile_chunk;replay:project:unsupported")  # fmt: skip


def accepted(event_id: str) -> Response:
    body = b'{"id":"%b"}' % event_id.encode() if event_id else b"{}"
    return Response(200, [JSON, UNSUPPORTED], body)


def refused(status: int, detail: str, *headers: tuple[str, str]) -> Response:
    if status == 429:  # sentry-php reads the headers only if there is no body.
        return Response(429, [("Content-Type", "text/plain"), *headers], b"")
    ascii_detail = detail.encode("ascii", "replace").decode().replace("\n", " ")[:300]
    body = json_codec.encode({"detail": detail, "causes": [detail] if detail else []})
    return Response(status, [JSON, ("X-Sentry-Error", ascii_detail), *headers], body)


def as_problem(status: int, headers: Headers, body: bytes, id: str) -> Response:
    """Convert a refusal by the plain JSON endpoint into a problem document, as the rest of the API returns."""
    said = json_codec.decode(body) if body else {}
    # The response to a batch without any valid error already lists a reason for each error.
    if "results" in said:
        return Response(status, headers, body)
    problem = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status}
    problem |= {"detail": said.get("detail", ""), "request_id": id}
    if status == 429:
        wait = int(dict(headers).get("Retry-After", 1))
        detail = f"The app sent more errors than its quota allows. Try again in {wait} seconds."
        problem |= {"detail": detail, "error": TITLES[429], "retryAfter": wait}
    kept = [header for header in headers if header[0] != "Content-Type"]
    return Response(
        status, [("Content-Type", "application/problem+json"), *kept], json_codec.encode(problem)
    )
