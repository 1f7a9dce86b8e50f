"""Record the portal's own exceptions and ERROR log lines as error events of the app "opsportal"."""

import itertools
import logging
import threading
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from sentry_sdk.serializer import serialize
from sentry_sdk.utils import event_from_exception, handle_in_app

from core.accounts.middleware import loaded_user
from core.clients.models import ClientApp
from core.lib import background, logs, request_id
from core.lib.buffer import Buffer, OnFailure
from core.lib.memory_limits import MemoryLimiter
from core.lib.scrub import Scrubber
from errors.event.build import IngestContext, build_event
from errors.services import record_events

log = logging.getLogger(__name__)

MAX_QUEUED = 100
MAX_PER_MINUTE = 60
# The loggers of the code that records events. Recording their errors could cause an endless series of errors.
_IGNORED_LOGGERS = (
    "errors.store",
    "errors.event",
    "opsportal.self_monitoring",
    "core.lib.background",
)
_LEVELS = {logging.CRITICAL: "fatal", logging.ERROR: "error"}

_limiter = MemoryLimiter(max_keys=1)
_numbers = itertools.count()
_state = threading.local()


class ErrorCollector(logging.Handler):
    """A handler that collects the ERROR log lines of this process, at most MAX_PER_MINUTE per minute."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        if not settings.SELF_MONITORING or record.name.startswith(_IGNORED_LOGGERS):
            return
        if getattr(_state, "is_collecting", False):
            return  # event_of() below logged this error, so recording it would recurse endlessly.
        _state.is_collecting = True
        try:
            if not _limiter.acquire("", MAX_PER_MINUTE, 60).allowed:
                own_errors.dropped_count += 1
                return
            own_errors.add(next(_numbers), event_of(record))
            background.start()  # Workers and commands start the thread only if they need it.
        except Exception:
            own_errors.dropped_count += 1
            self.handleError(record)
        finally:
            _state.is_collecting = False


def event_of(record: logging.LogRecord) -> dict[str, Any]:
    """Convert a log record to an event as a Sentry SDK would send it."""
    event: Any = {}  # The dict is untyped because the SDK's type lacks some fields of the protocol.
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
        user = loaded_user(request)
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


def _write(collected: dict[int, dict[str, Any]]) -> None:
    """Store the collected events under the app "opsportal"."""
    app = ClientApp.objects.get(slug=ClientApp.PORTAL_SLUG)
    context = IngestContext(received_at=timezone.now())
    scrubber = Scrubber()
    # Write in this thread, because the store's writer thread would keep a connection open, and the worker cluster's
    # sentinel, which forks, must not have one.
    with transaction.atomic():
        record_events(
            [
                build_event(event, app_id=app.pk, scrubber=scrubber, context=context)
                for event in collected.values()
            ]
        )


own_errors = Buffer[int, dict[str, Any]](
    "self-monitoring: errors",
    seconds=2,
    write=_write,
    merge=lambda _, event: event,  # Never called, because each event has a unique key.
    max_keys=MAX_QUEUED,
    flush_at=1,
    on_failure=OnFailure.DROP,
)


def install() -> None:
    """Start collecting errors. PortalConfig.ready calls this function after `logs.configure`."""
    root = logging.getLogger()
    if not any(isinstance(handler, ErrorCollector) for handler in root.handlers):
        root.addHandler(ErrorCollector())
