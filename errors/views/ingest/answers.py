"""What is answered: statuses, headers (also those that let browsers post from other sites), and refusals."""

from typing import NamedTuple

from errors.intake import jsons
from opsportal.lib.http import TITLES

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


REASONS = {
    200: "200 OK",
    202: "202 Accepted",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    411: "411 Length Required",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}

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
# What is dropped anyway need not be sent. Never what is stored: error, transaction, session, monitor, feedback …
UNSUPPORTED = ("X-Sentry-Rate-Limits", "3600:profile;profile_chunk;replay;log_item:project:unsupported")  # fmt: skip


def accepted(event_id: str) -> Answer:
    body = b'{"id":"%b"}' % event_id.encode() if event_id else b"{}"
    return Answer(200, [JSON, UNSUPPORTED], body)


def refused(status: int, detail: str, *headers: tuple[str, str]) -> Answer:
    if status == 429:  # sentry-php reads the headers only when there is no body
        return Answer(429, [("Content-Type", "text/plain"), *headers], b"")
    ascii_detail = detail.encode("ascii", "replace").decode().replace("\n", " ")[:300]
    body = jsons.encode({"detail": detail, "causes": [detail] if detail else []})
    return Answer(status, [JSON, ("X-Sentry-Error", ascii_detail), *headers], body)


def as_problem(status: int, headers: Headers, body: bytes, id: str) -> Answer:
    """A refusal of the plain endpoint as all of the API's are; SDKs, which know another shape, do not come there."""
    said = jsons.decode(body) if body else {}
    if "results" in said:  # a batch with nothing right in it says what is wrong with each
        return Answer(status, headers, body)
    problem = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status}
    problem |= {"detail": said.get("detail", ""), "request_id": id}
    if status == 429:
        wait = int(dict(headers).get("Retry-After", 1))
        detail = f"More errors than this app's quota. Try again in {wait} seconds."
        problem |= {"detail": detail, "error": TITLES[429], "retryAfter": wait}
    kept = [header for header in headers if header[0] != "Content-Type"]
    return Answer(
        status, [("Content-Type", "application/problem+json"), *kept], jsons.encode(problem)
    )
