"""Buffer the measurements from envelopes and pass them to health once a second.

Browsers send a session with almost every event. A process that is killed loses a second of measurements.
"""

import threading
from collections.abc import Sequence

from django.db import connection
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib import background
from errors.models import Discarded
from errors.services import discarded
from health.services import record_measurements
from health.signals import Measurement

MAX_WAITING = 20_000
FLUSH_AT = 500

_waiting: dict[int, tuple[ClientApp, list[Measurement]]] = {}
_count = 0
_lock = threading.Lock()


def add(app: ClientApp, measurements: Sequence[Measurement]) -> None:
    global _count
    if connection.in_atomic_block:
        record_measurements(measurements, app=app, now=timezone.now())
        return
    with _lock:
        is_full = _count + len(measurements) > MAX_WAITING
        if not is_full:
            _waiting.setdefault(app.pk, (app, []))[1].extend(measurements)
            before, _count = _count, _count + len(measurements)
    if is_full:
        discarded.count(
            app.pk, Discarded.Source.PORTAL, "measurement", "too many", len(measurements)
        )
    elif before < FLUSH_AT <= _count:
        background.run_soon()


@background.chore("errors.services.measured", seconds=1)
def flush() -> int:
    """Pass the buffered measurements to health. Return their number."""
    global _waiting, _count
    with _lock:
        flushed, _waiting = _waiting, {}
        _count = 0
    for app, measurements in flushed.values():
        record_measurements(measurements, app=app, now=timezone.now())
    return sum(len(measurements) for _, measurements in flushed.values())
