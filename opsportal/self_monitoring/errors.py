"""The portal's own exceptions and ERROR lines become events of its own app, with frames, locals and the request's id."""

import atexit
import logging
import threading
from collections import deque
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from sentry_sdk.serializer import serialize
from sentry_sdk.utils import event_from_exception, handle_in_app

from errors.intake.accept import Circumstances, accept
from errors.services import record_events
from opsportal.clients.models import ClientApp
from opsportal.lib import background, logs, request_id
from opsportal.lib.memory_limits import MemoryLimiter
from opsportal.lib.scrub import Scrubber

log = logging.getLogger(__name__)

MOST_WAITING = 100
MOST_A_MINUTE = 60
# What the way of an event into the store has to say would come back here for ever.
_NOT_HEARD = (
    "errors.store",
    "errors.intake",
    "opsportal.self_monitoring",
    "opsportal.lib.background",
)
_LEVELS = {logging.CRITICAL: "fatal", logging.ERROR: "error"}

dropped = 0
_waiting: deque[dict[str, Any]] = deque()
_pace = MemoryLimiter(max_keys=1)
_busy = threading.local()
_writing = threading.Lock()


class OwnErrors(logging.Handler):
    """Hears every ERROR line of this process. Its `emit` only collects."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        global dropped
        if not settings.SELF_MONITORING or record.name.startswith(_NOT_HEARD):
            return
        if getattr(_busy, "with_an_error", False):
            return
        _busy.with_an_error = True
        try:
            if len(_waiting) >= MOST_WAITING or not _pace.acquire("", MOST_A_MINUTE, 60).allowed:
                dropped += 1
                return
            _waiting.append(event_of(record))
            background.start()  # workers and commands have no thread until they need one
            background.run_soon()
        except Exception:
            dropped += 1
            self.handleError(record)
        finally:
            _busy.with_an_error = False


def event_of(record: logging.LogRecord) -> dict[str, Any]:
    """The line as an SDK would send it."""
    event: Any = {}  # as the protocol has it; the SDK's type names only a part
    if record.exc_info and record.exc_info[0]:
        event, _ = event_from_exception(
            record.exc_info,
            mechanism={"type": "logging", "handled": record.name != "django.request"},
        )
        handle_in_app(event, [], [*settings.FIRST_PARTY_APPS, "opsportal"], str(settings.BASE_DIR))
    request = getattr(record, "request", None)
    if request is not None:
        match = request.resolver_match
        event["transaction"] = f"{request.method} /{match.route}" if match else request.path
        event["request"] = {"method": request.method, "url": request.path}
        user = getattr(request, "_cached_user", None)
        if user is not None and user.is_authenticated:
            event["user"] = {"id": str(user.pk)}
    event.update(
        platform="python",
        level=_LEVELS.get(record.levelno, "error"),
        logger=record.name,
        timestamp=record.created,
        server_name=settings.INSTANCE,
        release=f"opsportal@{settings.VERSION}",
        environment="development" if settings.DEBUG else "production",
        extra={"log message": record.getMessage(), **logs.extra_of(record)},
        tags={"logger": record.name, "instance": settings.INSTANCE},
    )
    if not event.get("exception"):
        event["logentry"] = {"message": str(record.msg), "formatted": record.getMessage()}
    if settings.REGION:
        event["tags"]["region"] = settings.REGION
    if request_id.current():
        event["tags"]["request_id"] = request_id.current()
    serialized: dict[str, Any] = serialize(event, is_vars=False)
    return serialized


@background.chore("self-monitoring: errors", seconds=2)
def write_errors() -> int:
    """Hands what was heard to errors. Returns how many events that were."""
    with _writing:
        return _write()


def _write() -> int:
    global dropped
    waiting = []
    while _waiting:
        waiting.append(_waiting.popleft())
    if not waiting:
        return 0
    try:
        app = ClientApp.objects.get(slug=ClientApp.PORTAL_SLUG)
        around = Circumstances(received_at=timezone.now())
        scrubber = Scrubber()
        # In this thread: the store's own keeps its connection, and the worker cluster's sentinel, who forks, must not.
        with transaction.atomic():
            record_events(
                [
                    accept(event, app_id=app.pk, scrubber=scrubber, around=around)
                    for event in waiting
                ]
            )
    except Exception:
        dropped += len(waiting)
        raise
    return len(waiting)


def install() -> None:
    """Called by PortalConfig.ready, after `logs.configure`."""
    root = logging.getLogger()
    if not any(isinstance(handler, OwnErrors) for handler in root.handlers):
        root.addHandler(OwnErrors())
        atexit.register(_last_words)


def _last_words() -> None:
    """What still waits; and the thread, which ends with the process, may finish what it has begun."""
    try:
        write_errors()
    except Exception:
        log.warning("the last errors of this process could not be recorded")
