"""Where errors come in: Sentry's addresses and the plain JSON endpoint, as one function from a WSGI environ to an Answer.

`opsportal.wsgi` calls it before Django's middleware (sessions, messages, CSRF and the rest are of no use here and cost
more than the work itself); `errors.urls` wraps it in views so that the addresses are known. Both get the same answers.
An answer of 200 means: stored, grouped, counted and visible.
"""

import base64
import binascii
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import getrandbits
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from errors import discarded
from errors.door import Guest, NotOpen, Refusal, check_quotas, door, release_connection
from errors.envelope_items import take_check_in
from errors.intake import credentials, envelope, jsons, moments, plain, reports
from errors.intake.accept import LONGEST_EVENT, Circumstances, accept, accept_json, event_id_of
from errors.intake.body import TooLarge, Unreadable, read, unpack
from errors.items import Received
from errors.items import registry as items
from errors.models import Discarded
from errors.store.write import Packed
from errors.store.writer import Refused, Unavailable, store
from opsportal.lib import request_id
from opsportal.lib.addresses import client_address
from opsportal.lib.http import TITLES

log = logging.getLogger(__name__)

Environ = Mapping[str, Any]


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
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

_CORS = [
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
_JSON = ("Content-Type", "application/json")
# What is dropped anyway need not be sent. Never what is stored: error, transaction, session, monitor, feedback …
_UNSUPPORTED = ("X-Sentry-Rate-Limits", "3600:span;profile;profile_chunk;replay;log_item:project:unsupported")  # fmt: skip
_CHECK_IN_LIMIT = 100 * 1024
_REPORT_LIMIT = 64 * 1024


class _Refuse(Exception):
    def __init__(
        self, status: int, detail: str, *headers: tuple[str, str], guest: Guest | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.guest = guest


class _Call:
    """One request: what was read of it so far."""

    __slots__ = ("environ", "guest", "now")

    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.now = timezone.now()
        self.guest: Guest | None = None

    def raw_body(self) -> bytes:
        """As it came over the wire."""
        environ = self.environ
        length = environ.get("CONTENT_LENGTH")
        if not length and not environ.get("wsgi.input_terminated"):
            # Without a length only a server that ends the stream itself can hand a chunked body over; never answer 200
            # to a body that was not seen.
            if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
                raise _Refuse(411, "this server cannot read chunked bodies")
            return b""
        return read(environ["wsgi.input"], length)

    def unpack(self, raw: bytes) -> bytes:
        return unpack(raw, self.environ.get("HTTP_CONTENT_ENCODING", ""))

    def body(self) -> bytes:
        return self.unpack(self.raw_body())

    def admit(self, project_id: int | None, keys: list[str]) -> Guest:
        """Raises _Refuse: 401 without a key, 403 with one that does not open this project."""
        if not keys:
            raise _Refuse(401, "no key: send your DSN's key")
        guests = {key: door.admit(project_id, key) for key in dict.fromkeys(keys[:4])}
        guest = guests[keys[0]]
        if guest is None or None in guests.values():
            raise _Refuse(403, "this key is unknown, revoked, or another project's")
        self.guest = guest
        origin = self.environ.get("HTTP_ORIGIN")
        if origin and guest.origins and origin not in guest.origins and "*" not in guest.origins:
            raise _Refuse(403, "this origin may not post here")
        return guest

    def circumstances(self, event_id: str = "", sent_at: datetime | None = None) -> Circumstances:
        return Circumstances(
            received_at=self.now,
            sent_at=sent_at,
            event_id=event_id,
            client_address=client_address(self.environ),
        )

    def take(self, guest: Guest, payload: bytes, around: Circumstances) -> Packed:
        """An event on its way to the store."""
        if len(payload) > LONGEST_EVENT:
            raise TooLarge("the event is over 1 MiB")
        return Packed.of(
            accept_json(payload, app_id=guest.app_id, scrubber=guest.scrubber, around=around)
        )

    def store(self, read: Callable[[bytes], Sequence[Packed]]) -> None:
        """Have the body read and its events stored: by the writer's thread, and not before it is this call's turn."""
        raw = self.raw_body()
        store(lambda: read(raw), size=3 * len(raw))

    def check_quotas(self, guest: Guest, count: int = 1) -> None:
        if not guest.quotas:
            return
        try:
            check_quotas(guest, count)
        except Refusal as refusal:
            discarded.count(
                guest.app_id, Discarded.Source.QUOTA, "error", refusal.quota.name, count
            )
            wait = refusal.retry_after
            raise _Refuse(
                429,
                "",
                ("Retry-After", str(wait)),
                ("X-Sentry-Rate-Limits", f"{wait}:error;default;security:project:quota"),
            ) from None


# --- envelopes --------------------------------------------------------------------------------------------


def _envelope(call: _Call, project_id: int | None) -> Answer:
    keys = credentials.keys(call.environ)
    if keys and project_id is not None:
        call.admit(project_id, keys)  # before any work on the body
    others: list[Received] = []
    event_id = ""

    def read_events(raw: bytes) -> Sequence[Packed]:
        nonlocal event_id
        parsed = envelope.parse(call.unpack(raw))
        guest = _admit_by_dsn(call, project_id, keys, parsed.header.get("dsn"))
        event_id = event_id_of(parsed.header.get("event_id"))
        event = _event_among(guest, parsed)
        others.extend(_others_among(call, guest, parsed, event_id))
        if event is None:
            if parsed.fault and not parsed.items:
                raise Unreadable(parsed.fault)
            if not any(item.type for item in parsed.items):
                event_id = ""
            return ()
        call.check_quotas(guest)
        sent_at = moments.parse(parsed.header.get("sent_at"))
        packed = call.take(guest, event.payload, call.circumstances(event_id, sent_at))
        event_id = packed.event.event_id
        return [packed]

    try:
        call.store(read_events)
    except _Refuse as refusal:
        if refusal.status == 429:  # a quota of errors is no reason to lose a check-in
            _hand_on(others)
        raise
    _hand_on(others)
    return _accepted(event_id)


def _admit_by_dsn(call: _Call, project_id: int | None, keys: list[str], given: Any) -> Guest:
    """The envelope's own dsn may be the only key, and must not contradict the address."""
    dsn = credentials.of_dsn(given)
    if project_id is None:
        if dsn is None:
            raise _Refuse(401, "the envelope's header has no readable dsn")
        return call.admit(dsn[1], [dsn[0]])
    if dsn is not None and dsn[1] != project_id:
        raise _Refuse(400, "the envelope's dsn is another project's")
    if dsn is not None and dsn[0] not in keys:
        return call.admit(project_id, [*keys, dsn[0]])
    return call.guest or call.admit(project_id, keys)


_EVENTS = ("event", "error", "default")


def _event_among(guest: Guest, parsed: envelope.Envelope) -> envelope.Item | None:
    events = [item for item in parsed.items if item.type in _EVENTS]
    if len(events) > 1:
        discarded.count(guest.app_id, Discarded.Source.PORTAL, "event", "several", len(events) - 1)
    return events[0] if events else None


def _others_among(
    call: _Call, guest: Guest, parsed: envelope.Envelope, event_id: str
) -> list[Received]:
    """The items that are no events but have a place to go. None of them is a reason to refuse the envelope."""
    found = []
    for item in parsed.items:
        if item.type in _EVENTS:
            continue
        is_container = str(item.header.get("content_type", "")).startswith(
            "application/vnd.sentry.items"
        )
        if item.type not in items or is_container:
            kind = item.type or "(none)"
            discarded.count(guest.app_id, Discarded.Source.PORTAL, kind, "unsupported")
        elif len(item.payload) > items.get(item.type).limit:
            discarded.count(guest.app_id, Discarded.Source.INVALID, item.type, "too large")
        else:
            try:
                payload = jsons.decode(item.payload)
            except Unreadable:
                payload = None
            found.append(Received(guest, item.type, payload, parsed.header, event_id, call.now))
    return found


def _hand_on(others: list[Received]) -> None:
    for received in others:
        try:
            items.get(received.type).handle(received)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            log.info("item not taken", extra={"kind": received.type, "error": str(error)[:200]})
            discarded.count(
                received.guest.app_id, Discarded.Source.INVALID, received.type, "unreadable"
            )
        finally:
            release_connection()


def _accepted(event_id: str) -> Answer:
    body = b'{"id":"%b"}' % event_id.encode() if event_id else b"{}"
    return Answer(200, [_JSON, _UNSUPPORTED], body)


# --- the other addresses --------------------------------------------------------------------------------------


def _store(call: _Call, project_id: int) -> Answer:
    guest = call.admit(project_id, credentials.keys(call.environ))
    taken: list[Packed] = []

    def read_event(raw: bytes) -> Sequence[Packed]:
        body = call.unpack(raw)
        if not body:
            raise Unreadable("the body is empty")
        if body[:1] not in b"{ \n\r\t[":  # raven-node: base64(zlib(JSON)), and no header says so
            try:
                body = unpack(base64.b64decode(body), "deflate")
            except (binascii.Error, ValueError):
                raise Unreadable("neither JSON nor base64") from None
        call.check_quotas(guest)
        taken.append(call.take(guest, body, call.circumstances()))
        return taken

    call.store(read_event)
    return _accepted(taken[0].event.event_id)


def _security(call: _Call, project_id: int) -> Answer:
    guest = call.admit(project_id, credentials.keys(call.environ))
    taken: list[Packed] = []

    def read_reports(raw: bytes) -> Sequence[Packed]:
        body = call.unpack(raw)
        if len(body) > _REPORT_LIMIT:
            raise TooLarge("the report is over 64 KiB")
        events = reports.events_of(jsons.decode(body))
        if not events:
            raise Unreadable("no report in the body")
        call.check_quotas(guest, len(events))
        taken.extend(_packed(call, guest, event) for event in events)
        return taken

    call.store(read_reports)
    return _accepted(taken[0].event.event_id)


def _packed(call: _Call, guest: Guest, event: dict[str, Any]) -> Packed:
    around = call.circumstances()
    return Packed.of(accept(event, app_id=guest.app_id, scrubber=guest.scrubber, around=around))


def _minidump(call: _Call, project_id: int) -> Answer:
    call.admit(project_id, credentials.keys(call.environ))
    raise _Refuse(415, "minidumps and Unreal crash reports are not supported")


def _cron(call: _Call, project_id: int, parts: list[str]) -> Answer:
    """A job's check-in, as `curl` in a crontab sends it: slug, then perhaps the key; GET or POST."""
    method = call.environ.get("REQUEST_METHOD")
    if method not in ("GET", "POST"):
        raise _Refuse(405, "get or post here", ("Allow", "GET, POST, OPTIONS"))
    slug = parts[0].replace("\0", "")  # PostgreSQL keeps no NUL
    query = {
        name: values[-1].replace("\0", "")
        for name, values in credentials.pairs_in(call.environ.get("QUERY_STRING", "")).items()
    }
    guest = call.admit(project_id, parts[1:] or credentials.keys(call.environ))
    payload: dict[str, Any] = dict(query)
    if "duration" in payload:
        payload["duration"] = moments.number(payload["duration"])
    body = call.body() if method == "POST" else b""
    if len(body) > _CHECK_IN_LIMIT:
        raise TooLarge("the check-in is over 100 KiB")
    if body.lstrip().startswith(b"{"):  # anything else `curl -d` may add says nothing
        given = jsons.decode(body)
        if not isinstance(given, dict):
            raise Unreadable("the check-in is not a JSON object")
        payload.update(given)
    try:
        take_check_in(Received(guest, "check_in", payload, {}, "", call.now), slug, payload)
        release_connection()
    except ValueError as error:
        raise _Refuse(400, str(error)) from None
    return Answer(202, [_JSON], b"{}")


MOST_PLAIN = 1_000


def _plain(call: _Call) -> Answer:
    environ = call.environ
    key = environ.get("HTTP_X_API_KEY") or environ.get("HTTP_X_OPSPORTAL_KEY") or ""
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        key = value.strip()
    if not key:
        raise _Refuse(401, "send your key as `Authorization: Bearer <key>`")
    guest = call.admit(None, [key])
    results: list[dict[str, Any]] = []
    is_batch = False

    def read_errors(raw: bytes) -> Sequence[Packed]:
        nonlocal is_batch
        body = call.unpack(raw)
        if not body.strip():
            raise Unreadable("the body is empty")
        given = jsons.decode(body)
        is_batch = isinstance(given, list) or (isinstance(given, dict) and "events" in given)
        listed = given["events"] if isinstance(given, dict) and is_batch else given
        if is_batch and not isinstance(listed, list):
            raise _Refuse(422, "`events` is not a list")
        if not is_batch:
            listed = [given]
        if len(listed) > MOST_PLAIN:
            raise TooLarge(f"more than {MOST_PLAIN} errors at once")
        taken: list[Packed] = []
        for item in listed:
            try:
                event = plain.read(item)
                if len(body) > LONGEST_EVENT and len(jsons.encode(item)) > LONGEST_EVENT:
                    raise plain.Invalid("the error is over 1 MiB")
            except plain.Invalid as problem:
                results.append({"status": 422, "detail": str(problem)})
                continue
            taken.append(_packed(call, guest, event))
            results.append({"status": 200, "id": taken[-1].event.event_id})
        if taken:
            call.check_quotas(guest, len(taken))
        return taken

    call.store(read_errors)
    accepted = sum(result["status"] == 200 for result in results)
    if is_batch:
        status = 200 if accepted or not results else 422
        answer = {"accepted": accepted, "rejected": len(results) - accepted, "results": results}
        return Answer(status, [_JSON], jsons.encode(answer))
    if not accepted:
        raise _Refuse(422, str(results[0]["detail"]))
    return Answer(200, [_JSON], jsons.encode({"id": results[0]["id"]}))


# --- one function for all of them --------------------------------------------------------------------------------

_ADDRESS = re.compile(
    r"/+(?:api/+(?P<project>\d{1,18})/+(?P<what>envelope|store|security|csp-report|nel|minidump"
    r"|unreal(?:/[^/]*)*|cron/+[^/]+(?:/+[^/]+)?)|tunnel|api/+v1/+errors)/*"
)
_HANDLERS: dict[str, Callable[[_Call, int], Answer]] = {
    "envelope": _envelope,
    "store": _store,
    "security": _security,
    "csp-report": _security,
    "nel": _security,
    "minidump": _minidump,
    "unreal": _minidump,
}


def match(path: str) -> re.Match[str] | None:
    """Whether the path is one of ingestion's: slashes may be doubled or missing, a redirect would lose the body."""
    return _ADDRESS.fullmatch(path)


def handle(environ: Environ, address: re.Match[str]) -> Answer:
    """Answers any request to an ingestion address; never raises."""
    call = _Call(environ)
    offered = environ.get("HTTP_X_REQUEST_ID")
    # As good as a uuid4 here, and without a system call that gives the interpreter's lock away.
    id = request_id.accept(offered) if offered else f"{getrandbits(128):032x}"
    with request_id.use(id):
        try:
            status, headers, body = _dispatch(call, address)
        except _Refuse as refusal:
            status, headers, body = _refused(refusal.status, refusal.detail, *refusal.headers)
        except Unreadable as error:
            status, headers, body = _refused(400, str(error))
        except TooLarge as error:
            status, headers, body = _refused(413, str(error))
        except (Unavailable, NotOpen) as error:
            wait = str(getattr(error, "retry_after", Unavailable.retry_after))
            status, headers, body = _refused(503, str(error), ("Retry-After", wait))
        except (DatabaseError, InterfaceError):
            log.warning("ingestion: the database is away", exc_info=True)
            wait = str(Unavailable.retry_after)
            status, headers, body = _refused(503, "the store is away", ("Retry-After", wait))
        except Refused:
            status, headers, body = _refused(500, "this event could not be stored")
        except Exception:
            log.exception("ingestion failed")
            status, headers, body = _refused(500, "internal error")
        if status >= 400 and address["what"] is None and "tunnel" not in address[0]:
            status, headers, body = _as_problem(status, headers, body, id)
        headers = [
            *headers,
            *_CORS,
            ("Access-Control-Allow-Origin", _allowed_origin(call)),
            ("X-Request-ID", id),
        ]
    return Answer(status, headers, body)


def _dispatch(call: _Call, address: re.Match[str]) -> Answer:
    method = call.environ.get("REQUEST_METHOD")
    if method == "OPTIONS":
        return Answer(200, [], b"")
    what = address["what"]
    if what is not None and what.startswith("cron"):
        return _cron(call, int(address["project"]), [part for part in what.split("/") if part][1:])
    if method != "POST":
        raise _Refuse(405, "post here", ("Allow", "POST, OPTIONS"))
    if what is None:
        if "tunnel" in address[0]:
            return _envelope(call, None)
        return _plain(call)
    return _HANDLERS[what.partition("/")[0]](call, int(address["project"]))


def _refused(status: int, detail: str, *headers: tuple[str, str]) -> Answer:
    if status == 429:  # sentry-php reads the headers only when there is no body
        return Answer(429, [("Content-Type", "text/plain"), *headers], b"")
    ascii_detail = detail.encode("ascii", "replace").decode().replace("\n", " ")[:300]
    body = jsons.encode({"detail": detail, "causes": [detail] if detail else []})
    return Answer(status, [_JSON, ("X-Sentry-Error", ascii_detail), *headers], body)


def _as_problem(
    status: int, headers: list[tuple[str, str]], body: bytes, id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """A refusal of the plain endpoint as all of the API's are; SDKs, which know another shape, do not come there."""
    said = jsons.decode(body) if body else {}
    if "results" in said:  # a batch with nothing right in it says what is wrong with each
        return status, headers, body
    problem = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status}
    problem |= {"detail": said.get("detail", ""), "request_id": id}
    if status == 429:
        wait = int(dict(headers).get("Retry-After", 1))
        detail = f"More errors than this app's quota. Try again in {wait} seconds."
        problem |= {"detail": detail, "error": TITLES[429], "retryAfter": wait}
    kept = [header for header in headers if header[0] != "Content-Type"]
    return status, [("Content-Type", "application/problem+json"), *kept], jsons.encode(problem)


def _allowed_origin(call: _Call) -> str:
    origins = call.guest.origins if call.guest else None
    if not origins:
        return "*"
    origin = call.environ.get("HTTP_ORIGIN", "")
    return origin if origin in origins else next(iter(origins))
