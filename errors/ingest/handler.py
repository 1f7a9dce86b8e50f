"""Answer ingestion requests, either in the event loop or synchronously in a Django view.

A response of 200 means that the accepted events are stored, grouped, counted and visible. Events that an inbound filter
drops, and all events of an envelope except the first, are only counted as discarded.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from core.lib import read_only, request_id
from errors.event.body import MAX_BODY_BYTES, SUPPORTED_ENCODINGS, read_stream
from errors.event.new_event import NewEvent
from errors.exceptions import (
    BodyTimeout,
    ClientDisconnected,
    NotCached,
    NotStorable,
    ReadOnly,
    Refused,
    TooLarge,
    Unavailable,
    Unreadable,
    UnsupportedEncoding,
)
from errors.ingest import credentials
from errors.ingest.browser_reports import parse_reports
from errors.ingest.check_in import record_check_in
from errors.ingest.envelope import handle_items, parse_envelope
from errors.ingest.plain_errors import key_of, parse_errors
from errors.ingest.request import Environ, IngestRequest, Parsed
from errors.ingest.responses import CORS, Response, as_problem, refused
from errors.ingest.store_endpoint import parse_event
from errors.store.commit import store_events
from errors.store.writer import writer

log = logging.getLogger(__name__)

T = TypeVar("T")

# A larger body is parsed in a thread, because it would block the event loop, which serves all clients, for too long.
MAX_INLINE_BODY_BYTES = 64 * 1024
THREADS = 8  # These threads look up keys, parse large bodies, and handle items such as check-ins.

_ADDRESS = re.compile(
    r"/+(?:api/+(?P<project>\d{1,18})/+(?P<what>envelope|store|security|csp-report|nel|minidump"
    r"|unreal(?:/[^/]*)*|cron/+[^/]+(?:/+[^/]+)?)|tunnel|api/+v1/+errors)/*"
)


class Endpoint(StrEnum):
    PLAIN = "errors"
    ENVELOPE = "envelope"
    TUNNEL = "tunnel"
    STORE = "store"
    SECURITY = "security"
    CSP_REPORT = "csp-report"
    NEL = "nel"
    CRON = "cron"
    MINIDUMP = "minidump"
    UNREAL = "unreal"


_PARSERS: dict[Endpoint, Callable[[IngestRequest, Any], Parsed]] = {
    Endpoint.PLAIN: parse_errors,
    Endpoint.TUNNEL: parse_envelope,
    Endpoint.ENVELOPE: parse_envelope,
    Endpoint.STORE: parse_event,
    Endpoint.SECURITY: parse_reports,
    Endpoint.CSP_REPORT: parse_reports,
    Endpoint.NEL: parse_reports,
}
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="errors.ingest")


def match(path: str) -> re.Match[str] | None:
    """Return a match if the path is an ingestion address, or None.

    Doubled and missing slashes are accepted, because a redirect to the exact address would lose the body.
    """
    return _ADDRESS.fullmatch(path)


class _Route:
    """The endpoint that an ingestion address names, with the parameters in the address."""

    __slots__ = ("cron_parts", "endpoint", "is_plain", "project_id")

    def __init__(self, address: re.Match[str]) -> None:
        parts = [part for part in (address["what"] or "").split("/") if part]
        self.cron_parts: list[str] = []
        self.project_id = int(address["project"]) if address["project"] else None
        if parts:
            self.endpoint = Endpoint(parts[0])
            if self.endpoint is Endpoint.CRON:
                self.cron_parts = parts[1:]
        else:
            self.endpoint = Endpoint.TUNNEL if "tunnel" in address[0] else Endpoint.PLAIN
        self.is_plain = self.endpoint is Endpoint.PLAIN

    def check_method(self, method: str | None) -> None:
        """Raise Refused (405) if the endpoint does not accept the method, and ReadOnly if the portal is read-only."""
        if self.endpoint is Endpoint.CRON:
            if method not in ("GET", "POST"):
                raise Refused(
                    405, "use GET or POST at this address", ("Allow", "GET, POST, OPTIONS")
                )
        elif method != "POST":
            raise Refused(405, "use POST at this address", ("Allow", "POST, OPTIONS"))
        if notice := read_only.current():
            raise ReadOnly(notice.text)

    def authenticate(self, request: IngestRequest) -> None:
        """Authenticate a request before its body is read, unless the key may be in the body, or it is a check-in.

        A check-in is authenticated when it is parsed. Raises the exceptions of IngestRequest.authenticate, and Refused
        (415) for unsupported endpoints.
        """
        if self.is_plain:
            request.authenticate(None, [key_of(request)])
            return
        if self.endpoint in (Endpoint.TUNNEL, Endpoint.CRON):
            return
        keys = credentials.keys(request.environ)
        if keys or self.endpoint is not Endpoint.ENVELOPE:
            request.authenticate(self.project_id, keys)
        if self.endpoint not in _PARSERS:
            raise Refused(415, "minidumps and Unreal crash reports are not supported")

    def parse(self, request: IngestRequest) -> Parsed:
        if self.endpoint is Endpoint.CRON:
            assert self.project_id is not None
            return record_check_in(request, self.project_id, self.cron_parts)
        return _PARSERS[self.endpoint](request, self.project_id)


async def handle(
    environ: Environ, address: re.Match[str], read_body: Callable[[int], Awaitable[bytes]]
) -> Response:
    """Answer a request in the event loop.

    `read_body` returns at most the given number of bytes, or raises TooLarge, BodyTimeout or ClientDisconnected. Only
    ClientDisconnected is raised to the caller.
    """
    route, request = _Route(address), IngestRequest(environ, may_query=False)
    with request_id.use(request.id):
        try:
            response = await _process(route, request, read_body)
        except ClientDisconnected:
            raise
        except Exception as error:
            response = _refusal(error)
        return _finished(route, request, response)


def handle_sync(environ: Environ, address: re.Match[str]) -> Response:
    """Answer a request in the calling thread, and return after its events are stored."""
    route, request = _Route(address), IngestRequest(environ)
    with request_id.use(request.id):
        try:
            response = _process_sync(route, request)
        except Exception as error:
            response = _refusal(error)
        return _finished(route, request, response)


async def _process(
    route: _Route, request: IngestRequest, read_body: Callable[[int], Awaitable[bytes]]
) -> Response:
    method = request.environ.get("REQUEST_METHOD")
    if method == "OPTIONS":
        return Response(200, [], b"")
    route.check_method(method)
    try:
        route.authenticate(request)
    except NotCached:
        await _in_thread(request, partial(route.authenticate, request))
    request.body = await read_body(MAX_BODY_BYTES)

    parsed: Parsed | None = None

    def parse() -> list[NewEvent]:
        nonlocal parsed
        parsed = parsed or route.parse(request)
        return list(parsed.events)

    try:
        if _must_leave_the_loop(route, request):
            raise NotCached
        await writer.store(parse, 3 * len(request.body))
    except NotCached:
        if await _in_thread(request, parse):
            await writer.store(parse, 3 * len(request.body))
    assert parsed is not None
    if parsed.items:
        await _in_thread(request, partial(handle_items, parsed.items))
    return parsed.response


def _must_leave_the_loop(route: _Route, request: IngestRequest) -> bool:
    """Return True if parsing this request may take long, or may wait for the database or Redis."""
    if route.endpoint is Endpoint.CRON or len(request.body) > MAX_INLINE_BODY_BYTES:
        return True
    may_have_quotas = request.project is None or bool(request.project.quotas)
    return may_have_quotas and bool(settings.REDIS_URL)


async def _in_thread(request: IngestRequest, function: Callable[[], T]) -> T:
    """Call the function in a thread that may query the database, and return its result."""

    def call() -> T:
        request.may_query = True
        try:
            with request_id.use(request.id):
                return function()
        finally:
            # The following steps run in the event loop, which must not wait for the database.
            request.may_query = False

    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def _process_sync(route: _Route, request: IngestRequest) -> Response:
    method = request.environ.get("REQUEST_METHOD")
    if method == "OPTIONS":
        return Response(200, [], b"")
    route.check_method(method)
    route.authenticate(request)
    request.body = _read_body(request.environ)
    parsed = route.parse(request)
    if parsed.events:
        store_events(parsed.events)
    handle_items(parsed.items)
    return parsed.response


def _read_body(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    if not length and not environ.get("wsgi.input_terminated"):
        # Unless the WSGI server ends the stream, the end of a chunked body is unknown. Refuse the request, because the
        # events in an unread body would be lost after a 200.
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            raise Refused(411, "this server cannot read chunked bodies")
        return b""
    return read_stream(environ["wsgi.input"], length)


def _refusal(error: Exception) -> Response:
    match error:
        case Refused():
            return refused(error.status, error.detail, *error.headers)
        case Unreadable():
            return refused(400, str(error))
        case BodyTimeout():
            return refused(408, str(error))
        case TooLarge():
            return refused(413, str(error))
        case UnsupportedEncoding():
            return refused(415, str(error), ("Accept-Encoding", ", ".join(SUPPORTED_ENCODINGS)))
        case Unavailable():
            return refused(503, str(error), ("Retry-After", str(error.retry_after)))
        case DatabaseError() | InterfaceError():
            log.warning(
                "a request was not stored, because the database is unavailable", exc_info=error
            )
            retry_after = str(Unavailable.retry_after)
            return refused(503, "the store is unavailable", ("Retry-After", retry_after))
        case NotStorable():
            return refused(500, "this event could not be stored")
        case _:
            log.error("ingestion failed", exc_info=error)
            return refused(500, "internal error")


def _finished(route: _Route, request: IngestRequest, response: Response) -> Response:
    """Return the response with the headers of ingestion. A refusal by the plain endpoint becomes a problem document."""
    status, headers, body = response
    if status >= 400 and route.is_plain:
        status, headers, body = as_problem(status, headers, body, request.id)
    origin = request.environ.get("HTTP_ORIGIN")
    allow_origin = request.project.allow_origin(origin) if request.project else "*"
    headers = [
        *headers,
        *CORS,
        ("Access-Control-Allow-Origin", allow_origin),
        ("X-Request-ID", request.id),
    ]
    return Response(status, headers, body)


@csrf_exempt
def view(request: HttpRequest, **_: object) -> HttpResponseBase:
    """Answer an ingestion request in a Django view, for tests and for WSGI servers that `serve` does not start."""
    address = match(request.path_info)
    if address is None:
        return HttpResponse(status=404)
    status, headers, body = handle_sync(request.environ, address)  # type: ignore[attr-defined]
    # ErrorPagesMiddleware adds a body to empty refusals but not to streams; sentry-php needs an empty 429.
    response: HttpResponseBase = (
        HttpResponse(body, status=status) if body else StreamingHttpResponse([], status=status)
    )
    del response["Content-Type"]
    for name, value in headers:
        response[name] = value
    return response
