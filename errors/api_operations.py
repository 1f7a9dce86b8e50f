"""Where errors come in, described: see core.lib.openapi. The envelopes themselves are Sentry's to describe."""

from typing import Annotated, Any, Literal

import msgspec

from core.lib.openapi import describe
from errors.event.plain_format import PlainError


class PlainErrors(msgspec.Struct):
    """Up to 1,000; each is judged by itself."""

    events: Annotated[list[PlainError], msgspec.Meta(max_length=1_000)]


class ErrorAccepted(msgspec.Struct, forbid_unknown_fields=True):
    id: str


class ErrorResult(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Stored under `id`, or not taken for what `detail` says."""

    status: Literal[200, 422]
    id: str = ""
    detail: str = ""


class ErrorResults(msgspec.Struct, forbid_unknown_fields=True):
    accepted: int
    rejected: int
    results: list[ErrorResult]


class EnvelopeAccepted(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`id` when there was an event in it."""

    id: str = ""


class SentryRefusal(msgspec.Struct, forbid_unknown_fields=True):
    """As SDKs know it; the text is in `X-Sentry-Error` as well. A 429 has no body."""

    detail: str
    causes: list[str]


describe(
    "errors:error-report",
    "POST",
    "Report errors: one, a list, or `events`. 200 means stored, grouped, counted and visible.",
    scope="ingest",
    takes=(PlainError, list[PlainError], PlainErrors),
    answers={200: (ErrorAccepted, ErrorResults), 422: (ErrorResults,)},
    refusals={
        422: "Readable, and not an error: `detail` says why; a batch of which nothing was taken is answered as one that was.",
        403: "The key is unknown or revoked, or this origin may not post.",
        411: "A chunked body that cannot be read.",
        500: "This event could not be stored.",
    },
)
describe(
    "errors:error-report", "OPTIONS", "What browsers ask before they post.", answers={200: None}
)

_PROJECT = {"project_id": "The app's number: the last part of its DSN."}
_KEY = {
    "X-Sentry-Auth": "`Sentry sentry_key=<key>, …`; `?sentry_key=` and the envelope's own `dsn` do as well."
}
_REFUSALS = {
    400: "Not readable.",
    401: "No key.",
    403: "The key is unknown, revoked, or another app's.",
    413: "Too large.",
    429: "Over the app's quota: `X-Sentry-Rate-Limits` says what and how long.",
    500: "This event could not be stored.",
}
_SENTRY: dict[str, tuple[str, str, Any]] = {
    # what follows the app's number -> summary, media type, body
    "envelope/": ("A Sentry envelope, as SDKs send it.", "application/x-sentry-envelope", str),
    "store/": ("An event, as old SDKs send it.", "application/json", dict[str, Any]),
    "security/": (
        "A browser's report of a violated policy.",
        "application/csp-report",
        dict[str, Any],
    ),
    "csp-report/": ("The same.", "application/csp-report", dict[str, Any]),
    "nel/": ("A browser's report of a network error.", "application/reports+json", list[Any]),
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
        "What browsers ask before they post.",
        path=f"api/<int:project_id>/{what}",
        path_notes=_PROJECT,
        answers={200: None},
    )
for method in ("GET", "POST", "OPTIONS"):
    describe(
        "errors:ingest-other",
        method,
        "A job checks in with one `curl`; `status` (ok, in_progress, error) and `duration` in the query.",
        path="api/<int:project_id>/cron/<slug:monitor>/<str:key>/",
        path_notes={**_PROJECT, "monitor": "The heartbeat's name.", "key": "The DSN's public key."},
        answers={202: dict[str, Any]} if method != "OPTIONS" else {200: None},
        refusals={code: text for code, text in _REFUSALS.items() if code not in (429, 401)},
        refusal_shape=SentryRefusal,
    )
