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
from errors.views.ingest.answers import CORS, Answer, as_problem, refused
from errors.views.ingest.browser_reports import receive_reports
from errors.views.ingest.call import Call, Environ, Refused
from errors.views.ingest.check_in import receive_check_in
from errors.views.ingest.envelope import receive_envelope
from errors.views.ingest.event import receive_event
from errors.views.ingest.plain_errors import receive_errors
from opsportal.lib import request_id

log = logging.getLogger(__name__)


def _refuse_crash_dump(call: Call, project_id: int) -> Answer:
    call.admit(project_id, credentials.keys(call.environ))
    raise Refused(415, "minidumps and Unreal crash reports are not supported")


_ADDRESS = re.compile(
    r"/+(?:api/+(?P<project>\d{1,18})/+(?P<what>envelope|store|security|csp-report|nel|minidump"
    r"|unreal(?:/[^/]*)*|cron/+[^/]+(?:/+[^/]+)?)|tunnel|api/+v1/+errors)/*"
)
_HANDLERS: dict[str, Callable[[Call, int], Answer]] = {
    "envelope": receive_envelope,
    "store": receive_event,
    "security": receive_reports,
    "csp-report": receive_reports,
    "nel": receive_reports,
    "minidump": _refuse_crash_dump,
    "unreal": _refuse_crash_dump,
}


def match(path: str) -> re.Match[str] | None:
    """Whether the path is one of ingestion's: slashes may be doubled or missing, a redirect would lose the body."""
    return _ADDRESS.fullmatch(path)


def handle(environ: Environ, address: re.Match[str]) -> Answer:
    """Answers any request to an ingestion address; never raises."""
    call = Call(environ)
    offered = environ.get("HTTP_X_REQUEST_ID")
    # As good as a uuid4 here, and without a system call that gives the interpreter's lock away.
    id = request_id.accept(offered) if offered else f"{getrandbits(128):032x}"
    with request_id.use(id):
        try:
            status, headers, body = _dispatch(call, address)
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
            status, headers, body = as_problem(status, headers, body, id)
        headers = [
            *headers,
            *CORS,
            ("Access-Control-Allow-Origin", _allowed_origin(call)),
            ("X-Request-ID", id),
        ]
    return Answer(status, headers, body)


def _dispatch(call: Call, address: re.Match[str]) -> Answer:
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
            return receive_envelope(call, None)
        return receive_errors(call)
    return _HANDLERS[what.partition("/")[0]](call, int(address["project"]))


def _allowed_origin(call: Call) -> str:
    origins = call.guest.origins if call.guest else None
    if not origins:
        return "*"
    origin = call.environ.get("HTTP_ORIGIN", "")
    return origin if origin in origins else next(iter(origins))
