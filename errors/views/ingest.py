"""Where errors come in: Sentry's addresses and the plain JSON endpoint, as one function from a WSGI environ to an Answer.

`opsportal.wsgi` calls it before Django's middleware (sessions, messages, CSRF and the rest are of no use here and cost
more than the work itself); `errors.urls` wraps it in views so that the addresses are known. Both get the same answers.
An answer of 200 means: stored, grouped, counted and visible.
"""

import base64
import binascii
import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.utils import timezone

from errors import discarded
from errors.door import Guest, NotOpen, Refusal, check_quotas, door
from errors.envelope_items import take_check_in
from errors.intake import credentials, envelope, jsons, moments, plain, reports
from errors.intake.accept import LONGEST_EVENT, Circumstances, accept, event_id_of
from errors.intake.body import MIB, TooLarge, Unreadable, read, unpack
from errors.items import Received
from errors.items import registry as items
from errors.models import Discarded
from errors.store.write import Packed
from errors.store.writer import Refused, Unavailable, store
from opsportal.lib import request_id
from opsportal.lib.addresses import client_address

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

    def body(self, limit: int = 20 * MIB) -> bytes:
        environ = self.environ
        length = environ.get("CONTENT_LENGTH")
        if not length and not environ.get("wsgi.input_terminated"):
            # Without a length only a server that ends the stream itself can hand a chunked body over; never answer 200
            # to a body that was not seen.
            if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
                raise _Refuse(411, "this server cannot read chunked bodies")
            return b""
        raw = read(environ["wsgi.input"], length)
        return unpack(raw, environ.get("HTTP_CONTENT_ENCODING", ""), limit)

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
    parsed = envelope.parse(call.body())
    dsn = credentials.of_dsn(parsed.header.get("dsn"))
    if project_id is None:
        if dsn is None:
            raise _Refuse(401, "the envelope's header has no readable dsn")
        key, project_id = dsn
        call.admit(project_id, [key])
    elif dsn is not None:
        if dsn[1] != project_id:
            raise _Refuse(400, "the envelope's dsn is another project's")
        if dsn[0] not in keys:
            keys = [*keys, dsn[0]]
            call.admit(project_id, keys)
    elif not keys:
        call.admit(project_id, keys)
    assert call.guest is not None
    return _take_envelope(call, call.guest, parsed)


def _take_envelope(call: _Call, guest: Guest, parsed: envelope.Envelope) -> Answer:
    header = parsed.header
    event_id = event_id_of(header.get("event_id"))
    event: envelope.Item | None = None
    for item in parsed.items:
        if item.type in ("event", "error", "default"):
            if event is None:
                event = item
            else:
                discarded.count(guest.app_id, Discarded.Source.PORTAL, "event", "several")
        else:
            _take_item(call, guest, item, header, event_id)
    if event is None:
        if parsed.fault and not parsed.items:
            raise Unreadable(parsed.fault)
        return _accepted(event_id if any(item.type for item in parsed.items) else "")
    if len(event.payload) > LONGEST_EVENT:
        raise TooLarge("the event is over 1 MiB")
    raw = jsons.decode(event.payload)
    if not isinstance(raw, dict):
        raise Unreadable("the event is not a JSON object")
    call.check_quotas(guest)
    sent_at = moments.parse(header.get("sent_at"))
    new = accept(
        raw,
        app_id=guest.app_id,
        scrubber=guest.scrubber,
        around=call.circumstances(event_id, sent_at),
        size=len(event.payload),
    )
    store([Packed.of(new)])
    return _accepted(new.event_id)


def _take_item(
    call: _Call, guest: Guest, item: envelope.Item, header: dict[str, Any], event_id: str
) -> None:
    """An item that is no event is never a reason to refuse the envelope."""
    kind = item.type
    if kind not in items or str(item.header.get("content_type", "")).startswith(
        "application/vnd.sentry.items"
    ):
        discarded.count(guest.app_id, Discarded.Source.PORTAL, kind or "(none)", "unsupported")
        return
    taker = items.get(kind)
    if len(item.payload) > taker.limit:
        discarded.count(guest.app_id, Discarded.Source.INVALID, kind, "too large")
        return
    try:
        payload = jsons.decode(item.payload)
    except Unreadable:
        payload = None
    if not isinstance(payload, dict | list):
        discarded.count(guest.app_id, Discarded.Source.INVALID, kind, "unreadable")
        return
    try:
        taker.handle(Received(guest, payload, header, event_id, call.now))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        log.info("item not taken", extra={"kind": kind, "error": str(error)[:200]})
        discarded.count(guest.app_id, Discarded.Source.INVALID, kind, "unreadable")


def _accepted(event_id: str) -> Answer:
    body = b'{"id":"%b"}' % event_id.encode() if event_id else b"{}"
    return Answer(200, [_JSON, _UNSUPPORTED], body)


# --- the other addresses --------------------------------------------------------------------------------------


def _store(call: _Call, project_id: int) -> Answer:
    guest = call.admit(project_id, credentials.keys(call.environ))
    body = call.body()
    if not body:
        raise Unreadable("the body is empty")
    if body[:1] not in b"{ \n\r\t[":  # raven-node: base64(zlib(JSON)), and no header says so
        try:
            body = unpack(base64.b64decode(body), "deflate")
        except (binascii.Error, ValueError):
            raise Unreadable("neither JSON nor base64") from None
    if len(body) > LONGEST_EVENT:
        raise TooLarge("the event is over 1 MiB")
    raw = jsons.decode(body)
    if not isinstance(raw, dict):
        raise Unreadable("the event is not a JSON object")
    call.check_quotas(guest)
    new = accept(
        raw,
        app_id=guest.app_id,
        scrubber=guest.scrubber,
        around=call.circumstances(),
        size=len(body),
    )
    store([Packed.of(new)])
    return _accepted(new.event_id)


def _security(call: _Call, project_id: int) -> Answer:
    guest = call.admit(project_id, credentials.keys(call.environ))
    body = call.body()
    if len(body) > _REPORT_LIMIT:
        raise TooLarge("the report is over 64 KiB")
    events = reports.events_of(jsons.decode(body))
    if not events:
        raise Unreadable("no report in the body")
    call.check_quotas(guest, len(events))
    new = [
        accept(event, app_id=guest.app_id, scrubber=guest.scrubber, around=call.circumstances())
        for event in events
    ]
    store([Packed.of(event) for event in new])
    return _accepted(new[0].event_id)


def _minidump(call: _Call, project_id: int) -> Answer:
    call.admit(project_id, credentials.keys(call.environ))
    raise _Refuse(415, "minidumps and Unreal crash reports are not supported")


def _cron(call: _Call, project_id: int, parts: list[str]) -> Answer:
    """A job's check-in, as `curl` in a crontab sends it: slug, then perhaps the key; GET or POST."""
    method = call.environ.get("REQUEST_METHOD")
    if method not in ("GET", "POST"):
        raise _Refuse(405, "get or post here", ("Allow", "GET, POST, OPTIONS"))
    query = {
        name: values[-1]
        for name, values in parse_qs(
            call.environ.get("QUERY_STRING", ""), max_num_fields=50
        ).items()
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
        take_check_in(Received(guest, payload, {}, "", call.now), parts[0], payload)
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
    body = call.body()
    if not body.strip():
        raise Unreadable("the body is empty")
    given = jsons.decode(body)
    is_batch = isinstance(given, list) or (isinstance(given, dict) and "events" in given)
    listed = given["events"] if isinstance(given, dict) and "events" in given else given
    if not isinstance(listed, list):
        if is_batch:
            raise _Refuse(422, "`events` is not a list")
        listed = [listed]
    if len(listed) > MOST_PLAIN:
        raise TooLarge(f"more than {MOST_PLAIN} errors at once")
    results: list[dict[str, Any]] = []
    new: list[Packed] = []
    for item in listed:
        try:
            event = plain.read(item)
            if len(body) > LONGEST_EVENT and len(jsons.encode(item)) > LONGEST_EVENT:
                raise plain.Invalid("the error is over 1 MiB")
        except plain.Invalid as problem:
            results.append({"status": 422, "detail": str(problem)})
            continue
        accepted = accept(
            event, app_id=guest.app_id, scrubber=guest.scrubber, around=call.circumstances()
        )
        new.append(Packed.of(accepted))
        results.append({"status": 200, "id": accepted.event_id})
    if new:
        call.check_quotas(guest, len(new))
        store(new)
    if is_batch:
        status = 200 if new or not results else 422
        answer = {"accepted": len(new), "rejected": len(results) - len(new), "results": results}
        return Answer(status, [_JSON], jsons.encode(answer))
    if not new:
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
    with request_id.use(request_id.accept(environ.get("HTTP_X_REQUEST_ID"))):
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
        finally:
            if not connection.in_atomic_block:
                close_old_connections()
        headers = [
            *headers,
            *_CORS,
            ("Access-Control-Allow-Origin", _allowed_origin(call)),
            ("X-Request-ID", request_id.current()),
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


def _allowed_origin(call: _Call) -> str:
    origins = call.guest.origins if call.guest else None
    if not origins:
        return "*"
    origin = call.environ.get("HTTP_ORIGIN", "")
    return origin if origin in origins else next(iter(origins))
