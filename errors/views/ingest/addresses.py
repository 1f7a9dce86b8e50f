"""Which address is answered by what, and what every answer has in common."""

import logging
import re
from collections.abc import Callable
from random import getrandbits

from django.db import DatabaseError, InterfaceError

from errors.door import NotOpen
from errors.intake import credentials
from errors.intake.body import TooLarge, Unreadable
from errors.store.commit import NotStorable, Unavailable
from errors.store.write import Written
from errors.store.writer import store
from errors.views.ingest.answers import CORS, Answer, as_problem, refused
from errors.views.ingest.browser_reports import receive_reports
from errors.views.ingest.call import Call, Environ, Receiving, Refused, ToStore
from errors.views.ingest.check_in import receive_check_in
from errors.views.ingest.envelope import receive_envelope
from errors.views.ingest.event import receive_event
from errors.views.ingest.plain_errors import receive_errors
from opsportal.lib import request_id

log = logging.getLogger(__name__)


_ADDRESS = re.compile(
    r"/+(?:api/+(?P<project>\d{1,18})/+(?P<what>envelope|store|security|csp-report|nel|minidump"
    r"|unreal(?:/[^/]*)*|cron/+[^/]+(?:/+[^/]+)?)|tunnel|api/+v1/+errors)/*"
)
_HANDLERS: dict[str, Callable[[Call, int], Receiving]] = {
    "envelope": receive_envelope,
    "store": receive_event,
    "security": receive_reports,
    "csp-report": receive_reports,
    "nel": receive_reports,
}


def match(path: str) -> re.Match[str] | None:
    """Whether the path is one of ingestion's: slashes may be doubled or missing, a redirect would lose the body."""
    return _ADDRESS.fullmatch(path)


class Request:
    """Any request to an ingestion address, up to its answer; nothing here raises."""

    __slots__ = ("_call", "_id", "_steps")

    def __init__(self, environ: Environ, address: re.Match[str]) -> None:
        offered = environ.get("HTTP_X_REQUEST_ID")
        # As good as a uuid4 here, and without a system call that gives the interpreter's lock away.
        self._id = request_id.accept(offered) if offered else f"{getrandbits(128):032x}"
        self._call = Call(environ)
        self._steps = self._answering(address)

    def begin(self) -> ToStore | Answer:
        """Up to what it wants stored, if anything."""
        with request_id.use(self._id):
            try:
                return next(self._steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def finish(self, outcome: Written | Exception) -> Answer:
        """What came of storing; to be called once, after `begin` said what to store."""
        with request_id.use(self._id):
            try:
                if isinstance(outcome, Exception):
                    self._steps.throw(outcome)
                else:
                    next(self._steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
        raise AssertionError("a request is stored once")

    def _answering(self, address: re.Match[str]) -> Receiving:
        call = self._call
        try:
            status, headers, body = yield from _dispatch(call, address)
        except Refused as refusal:
            status, headers, body = refused(refusal.status, refusal.detail, *refusal.headers)
        except Unreadable as error:
            status, headers, body = refused(400, str(error))
        except TooLarge as error:
            status, headers, body = refused(413, str(error))
        except (Unavailable, NotOpen) as error:
            wait = str(getattr(error, "retry_after", Unavailable.retry_after))
            status, headers, body = refused(503, str(error), ("Retry-After", wait))
        except (DatabaseError, InterfaceError):
            log.warning("ingestion: the database is away", exc_info=True)
            wait = str(Unavailable.retry_after)
            status, headers, body = refused(503, "the store is away", ("Retry-After", wait))
        except NotStorable:
            status, headers, body = refused(500, "this event could not be stored")
        except Exception:
            log.exception("ingestion failed")
            status, headers, body = refused(500, "internal error")
        if status >= 400 and address["what"] is None and "tunnel" not in address[0]:
            status, headers, body = as_problem(status, headers, body, self._id)
        headers = [
            *headers,
            *CORS,
            ("Access-Control-Allow-Origin", _allowed_origin(call)),
            ("X-Request-ID", self._id),
        ]
        return Answer(status, headers, body)


def handle(environ: Environ, address: re.Match[str]) -> Answer:
    """Answers any request to an ingestion address; waits until its events are stored, and never raises."""
    request = Request(environ, address)
    begun = request.begin()
    if isinstance(begun, Answer):
        return begun
    try:
        written = store(begun.read, begun.size)
    except Exception as error:
        return request.finish(error)
    return request.finish(written)


def _dispatch(call: Call, address: re.Match[str]) -> Receiving:
    method = call.environ.get("REQUEST_METHOD")
    if method == "OPTIONS":
        return Answer(200, [], b"")
    what = address["what"]
    if what is not None and what.startswith("cron"):
        return receive_check_in(
            call, int(address["project"]), [part for part in what.split("/") if part][1:]
        )
    if method != "POST":
        raise Refused(405, "post here", ("Allow", "POST, OPTIONS"))
    if what is None:
        if "tunnel" in address[0]:
            return (yield from receive_envelope(call, None))
        return (yield from receive_errors(call))
    handler = _HANDLERS.get(what)
    if handler is None:
        call.admit(int(address["project"]), credentials.keys(call.environ))
        raise Refused(415, "minidumps and Unreal crash reports are not supported")
    return (yield from handler(call, int(address["project"])))


def _allowed_origin(call: Call) -> str:
    origins = call.guest.origins if call.guest else None
    if not origins:
        return "*"
    origin = call.environ.get("HTTP_ORIGIN", "")
    return origin if origin in origins else next(iter(origins))
