"""Measurements that arrive inside envelopes, handed to health once a second: browsers send a session with almost every event.

They are figures, not errors: a process that is killed loses a second of them.
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
    """Hands what is waiting to health; how many measurements that were."""
    global _waiting, _count
    with _lock:
        taken, _waiting = _waiting, {}
        _count = 0
    for app, measurements in taken.values():
        record_measurements(measurements, app=app, now=timezone.now())
    return sum(len(measurements) for _, measurements in taken.values())
