"""OpenAPI descriptions of the ingestion endpoints, see core.lib.openapi. Sentry documents the envelope format."""

from typing import Annotated, Any, Literal

import msgspec

from core.lib.openapi import describe
from errors.event.plain_format import PlainError


class PlainErrors(msgspec.Struct):
    """Up to 1,000 errors. Each is accepted or rejected on its own."""

    events: Annotated[list[PlainError], msgspec.Meta(max_length=1_000)]


class ErrorAccepted(msgspec.Struct, forbid_unknown_fields=True):
    id: str


class ErrorResult(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The result for one error: stored as `id`, or rejected for the reason in `detail`."""

    status: Literal[200, 422]
    id: str = ""
    detail: str = ""


class ErrorResults(msgspec.Struct, forbid_unknown_fields=True):
    accepted: int
    rejected: int
    results: list[ErrorResult]


class EnvelopeAccepted(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`id` is present if the envelope contained an event."""

    id: str = ""


class SentryRefusal(msgspec.Struct, forbid_unknown_fields=True):
    """A rejection in the format of Sentry. `X-Sentry-Error` contains the text, too. A 429 has no body."""

    detail: str
    causes: list[str]


describe(
    "errors:error-report",
    "POST",
    "Report one error, a list of errors, or an object with `events`. 200 means stored, grouped, counted and visible.",
    scope="ingest",
    takes=(PlainError, list[PlainError], PlainErrors),
    answers={200: (ErrorAccepted, ErrorResults), 422: (ErrorResults,)},
    refusals={
        422: "The JSON is not a valid error; `detail` gives the reason. "
        "A batch without any valid error returns the usual list of results.",
        403: "The key is unknown or revoked, or this origin is not allowed.",
        411: "The server cannot read chunked bodies.",
        500: "This event could not be stored.",
    },
)
describe("errors:error-report", "OPTIONS", "CORS preflight request.", answers={200: None})

_PROJECT = {"project_id": "The app's id: the last part of its DSN."}
_KEY = {
    "X-Sentry-Auth": "`Sentry sentry_key=<key>, …`. Alternatives: `?sentry_key=`, or the `dsn` in the envelope's header."
}
_REFUSALS = {
    400: "The body is malformed.",
    401: "The key is missing.",
    403: "The key is unknown, revoked, or belongs to another app.",
    413: "The body is too large.",
    429: "The app's quota is used up; `X-Sentry-Rate-Limits` contains the categories and the time to wait.",
    500: "This event could not be stored.",
}
_SENTRY: dict[str, tuple[str, str, Any]] = {
    # path after the app's id -> summary, media type, body
    "envelope/": ("Receive a Sentry envelope from an SDK.", "application/x-sentry-envelope", str),
    "store/": ("Receive an event from an older SDK.", "application/json", dict[str, Any]),
    "security/": (
        "Receive a browser's report of a content security policy violation.",
        "application/csp-report",
        dict[str, Any],
    ),
    "csp-report/": ("The same as `security/`.", "application/csp-report", dict[str, Any]),
    "nel/": (
        "Receive a browser's report of a network error.",
        "application/reports+json",
        list[Any],
    ),
}
for what, (summary, media_type, body) in _SENTRY.items():
    url = "errors:envelope-receive" if what == "envelope/" else "errors:ingest-other"
    describe(
        url,
        "POST",
        summary,
        path=f"api/<int:project_id>/{what}",
        path_notes=_PROJECT,
        takes=body,
        media_type=media_type,
        headers=_KEY,
        answers={200: EnvelopeAccepted},
        refusals=_REFUSALS,
        refusal_shape=SentryRefusal,
    )
    describe(
        url,
        "OPTIONS",
        "CORS preflight request.",
        path=f"api/<int:project_id>/{what}",
        path_notes=_PROJECT,
        answers={200: None},
    )
for method in ("GET", "POST", "OPTIONS"):
    describe(
        "errors:ingest-other",
        method,
        "Record a job's check-in. The query contains `status` (ok, in_progress, error) and `duration`.",
        path="api/<int:project_id>/cron/<slug:monitor>/<str:key>/",
        path_notes={**_PROJECT, "monitor": "The heartbeat's name.", "key": "The DSN's public key."},
        answers={202: dict[str, Any]} if method != "OPTIONS" else {200: None},
        refusals={code: text for code, text in _REFUSALS.items() if code not in (429, 401)},
        refusal_shape=SentryRefusal,
    )
