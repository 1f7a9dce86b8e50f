"""Describe the endpoints of this app in OpenAPI (see core.lib.openapi). Sentry documents the envelope format."""

from typing import Annotated, Any, Literal

import msgspec

from core.lib.openapi import describe
from errors.event.plain_format import PlainError
from errors.views import api_shapes


class PlainErrors(msgspec.Struct):
    """Up to 1,000 errors. Each error is accepted or rejected independently of the others."""

    events: Annotated[list[PlainError], msgspec.Meta(max_length=1_000)]


class ErrorAccepted(msgspec.Struct, forbid_unknown_fields=True):
    id: str


class ErrorResult(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The result for one error: stored with `id`, or rejected for the reason in `detail`."""

    status: Literal[200, 422]
    id: str = ""
    detail: str = ""


class ErrorResults(msgspec.Struct, forbid_unknown_fields=True):
    accepted: int
    rejected: int
    results: list[ErrorResult]


class EnvelopeAccepted(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The response to an envelope. `id` is present if the envelope contained an event."""

    id: str = ""


class SentryRefusal(msgspec.Struct, forbid_unknown_fields=True):
    """A rejection in Sentry's format. The header `X-Sentry-Error` repeats the text. A 429 has no body."""

    detail: str
    causes: list[str]


describe(
    "errors:error-report",
    "POST",
    "Report one error, a list of errors, or an object with `events`. When the response has the status "
    "200, each accepted error is stored, grouped, counted and visible.",
    scope="ingest",
    takes=(PlainError, list[PlainError], PlainErrors),
    answers={200: (ErrorAccepted, ErrorResults), 422: (ErrorResults,)},
    refusals={
        422: "The JSON is not a valid error; `detail` gives the reason. "
        "A batch without any valid error returns the usual list of results.",
        403: "The key is unknown or revoked, or this origin is not allowed.",
        411: "The server cannot read chunked bodies.",
        415: "The Content-Encoding is not supported.",
        500: "This event could not be stored.",
    },
)
_PAGE = {
    "limit": "Number of rows, from 1 to 100. The default is 50.",
    "cursor": "The `next_cursor` of the previous page.",
}
_SEARCH = {
    "query": "A search as on the page “Errors”, such as `release:shop@1.2 is:unassigned declined`.",
    "state": "One of open (the default, also for an empty value), regressed, muted, resolved or all.",
}
_RANGE = {
    "since": "The start of the period, such as 2026-11-22T14:00:00Z.",
    "until": "The end of the period.",
}
_BAD_QUERY = {422: "A parameter is invalid; `detail` names it."}
_NO_GROUP = {404: "The app has no such error.", 422: "A parameter is invalid."}
# Maps the name of a URL to (summary, parameters, answer, refusals).
_READ: dict[str, tuple[str, dict[str, str], Any, dict[int, str]]] = {
    "group-list": (
        "List or search the app's errors.",
        {
            **_SEARCH,
            "sort": "The order: `events`, `users`, or empty for the most recently seen first.",
            **_PAGE,
        },
        api_shapes.GroupPage,
        _BAD_QUERY,
    ),
    "group-detail": ("Return an error.", {}, api_shapes.GroupDetail, _NO_GROUP),
    "event-search": (
        "List the app's events, newest first. With a search, list only the events of the errors found.",
        {
            "query": _SEARCH["query"],
            "state": "One of all (the default), regressed, muted or resolved. `is:open` in `query` finds open errors.",
            **_RANGE,
            **_PAGE,
        },
        api_shapes.EventPage,
        _BAD_QUERY,
    ),
    "event-list": ("List the events of an error.", _PAGE, api_shapes.EventPage, _NO_GROUP),
    "group-counts": (
        "Return the number of an error's events over time.",
        {"span": "The length of the period: 24h (the default), 7d or 30d."},
        api_shapes.GroupCounts,
        _NO_GROUP,
    ),
    "event-detail": (
        "Return an event by its id, with its payload.",
        {},
        api_shapes.EventDetail,
        {404: "The app has no such event."},
    ),
    "count-list": (
        "Return the number of received errors over time, by severity.",
        _RANGE,
        api_shapes.Counts,
        _BAD_QUERY,
    ),
    "release-list": (
        "List the app's releases, newest first.",
        _PAGE,
        api_shapes.ReleasePage,
        _BAD_QUERY,
    ),
}
for name, (summary, parameters, shape, refusals) in _READ.items():
    describe(
        f"errors:api-{name}",
        "GET",
        summary,
        scope="errors:read",
        query=parameters,
        answers={200: shape},
        refusals=refusals,
    )
describe(
    "errors:api-event-export",
    "GET",
    "Stream the events of the errors found as NDJSON. Each line is one event with its payload, as a JSON object.",
    scope="errors:read",
    query={**_SEARCH, **_RANGE},
    answers={200: api_shapes.EventDetail},
    streams_lines=True,
    refusals=_BAD_QUERY,
)
describe(
    "errors:api-group-act",
    "POST",
    "Resolve, reopen, mute, assign, merge, unmerge, comment on or delete errors.",
    scope="errors:write",
    takes=api_shapes.GroupAction,
    answers={200: api_shapes.Changed},
    refusals={
        404: "The app has no such error.",
        422: "The action is not possible; `detail` gives the reason.",
    },
)
describe(
    "errors:api-event-delete",
    "POST",
    "Delete an event. The counts of its error are lowered.",
    scope="errors:write",
    answers={200: api_shapes.Deleted},
    refusals={404: "The app has no such event."},
)
describe(
    "errors:api-user-delete",
    "POST",
    "Delete all events of a user.",
    scope="errors:write",
    takes=api_shapes.UserOfEvents,
    answers={200: api_shapes.Deleted},
    refusals={422: "`user` is missing or too long."},
)
describe("errors:error-report", "OPTIONS", "CORS preflight request.", answers={200: None})

_PROJECT = {"project_id": "The app's id: the last part of its DSN."}
_KEY = {
    "X-Sentry-Auth": "Send `Sentry sentry_key=<key>, …`. Alternatively, the client may send `?sentry_key=`, or the "
    "`dsn` in the envelope's header."
}
_REFUSALS = {
    400: "The body is malformed.",
    401: "The key is missing.",
    403: "The key is unknown or revoked, or belongs to another app.",
    413: "The body is too large.",
    415: "The Content-Encoding is not supported; `Accept-Encoding` lists those that are.",
    429: "The app's quota is used up; `X-Sentry-Rate-Limits` contains the categories and the time to wait.",
    500: "This event could not be stored.",
}
_SENTRY: dict[str, tuple[str, str, Any]] = {
    # Maps the path after the app's id to (summary, media type, body).
    "envelope/": ("Receive a Sentry envelope from an SDK.", "application/octet-stream", str),
    "store/": ("Receive an event from an older SDK.", "application/json", dict[str, Any]),
    "security/": (
        "Receive a browser's report of a content security policy violation.",
        "application/json",
        dict[str, Any],
    ),
    "csp-report/": ("Receive the same reports as `security/`.", "application/json", dict[str, Any]),
    "nel/": (
        "Receive a browser's report of a network error.",
        "application/json",
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


class CliRefusal(msgspec.Struct, forbid_unknown_fields=True):
    """A rejection in the format that sentry-cli displays."""

    detail: str


_CLI_NOTES = {
    "organization": "The name can be any text, because the key determines the app.",
    "project": "The app's slug or id.",
    "version": "The version of the release.",
}
_Json = dict[str, Any]
# Maps (name of the URL, method) to (summary, body, answers).
_CLI: dict[tuple[str, str], tuple[str, Any, dict[int, Any]]] = {
    ("cli-info", "GET"): ("Return the permissions of the key.", None, {200: _Json}),
    ("cli-regions", "GET"): ("List the portal as the only region.", None, {200: _Json}),
    ("cli-organizations", "GET"): ("List the only organization.", None, {200: list[Any]}),
    ("cli-projects", "GET"): ("List the key's app.", None, {200: list[Any]}),
    ("cli-repositories", "GET"): ("List no repositories.", None, {200: list[Any]}),
    ("cli-chunk-upload", "GET"): ("Return how to upload files.", None, {200: _Json}),
    ("cli-chunk-upload", "POST"): ("Save chunks of an upload.", _Json, {200: list[Any]}),
    ("cli-assemble-bundle", "POST"): ("Assemble chunks into a bundle.", _Json, {200: _Json}),
    ("cli-assemble-release", "POST"): (
        "Assemble chunks into the files of a release.",
        _Json,
        {200: _Json},
    ),
    ("cli-releases", "GET"): ("List the newest releases.", None, {200: list[Any]}),
    ("cli-releases", "POST"): ("Create or change a release.", _Json, {201: _Json, 208: _Json}),
    ("cli-release", "GET"): ("Return a release.", None, {200: _Json}),
    ("cli-release", "PUT"): ("Finalize a release, or set its commits.", _Json, {200: _Json}),
    ("cli-release", "DELETE"): ("Delete a release; its events stay.", None, {204: None}),
    ("cli-commits", "GET"): ("List the commits of a release.", None, {200: list[Any]}),
    ("cli-previous-with-commits", "GET"): (
        "Return the previous release that has commits.",
        None,
        {200: _Json},
    ),
    ("cli-deploys", "GET"): ("List the deploys of a release.", None, {200: list[Any]}),
    ("cli-deploys", "POST"): ("Record a deploy of a release.", _Json, {201: _Json}),
    ("cli-project-releases", "GET"): ("List the newest releases.", None, {200: list[Any]}),
    ("cli-project-releases", "POST"): (
        "Create or change a release.",
        _Json,
        {201: _Json, 208: _Json},
    ),
    ("cli-project-release", "GET"): ("Return a release.", None, {200: _Json}),
    ("cli-project-release", "PUT"): ("Change a release.", _Json, {200: _Json}),
    ("cli-project-release", "DELETE"): ("Delete a release.", None, {204: None}),
    ("cli-release-files", "GET"): ("List the files of a release.", None, {200: list[Any]}),
    ("cli-release-files", "POST"): ("Save a file of a release.", _Json, {201: _Json}),
}
_FORMS = ("cli-chunk-upload", "cli-release-files")
for (name, method), (summary, body, answers) in _CLI.items():
    describe(
        f"errors:{name}",
        method,
        f"For sentry-cli: {summary[0].lower()}{summary[1:]}",
        scope="releases",
        takes=body,
        media_type="multipart/form-data" if name in _FORMS else "application/json",
        answers=answers,
        path_notes=_CLI_NOTES
        if name not in ("cli-info", "cli-regions", "cli-organizations")
        else {},
        refusals={400: "The request is invalid; `detail` gives the reason."},
        refusal_shape=CliRefusal,
    )
