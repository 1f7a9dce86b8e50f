"""Buffer the measurements from envelopes, and pass them to the app `health` once a second.

Buffering matters because browsers send a session with almost every event. A killed process loses up to one second of
measurements.
"""

from collections.abc import Sequence

from django.db import connection
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.buffer import Buffer, OnFailure
from errors.models import Discarded
from errors.services import discarded
from health.services import record_measurements
from health.signals import Measurement

MAX_APPS = 10_000
MAX_WAITING = 20_000
FLUSH_AT = 500

_OfApp = tuple[ClientApp, tuple[Measurement, ...]]


def add(app: ClientApp, measurements: Sequence[Measurement]) -> None:
    if connection.in_atomic_block:
        record_measurements(measurements, app=app, now=timezone.now())
    elif not measurements_waiting.add(app.pk, (app, tuple(measurements))):
        discarded.count(
            app.pk, Discarded.Source.PORTAL, "measurement", "too many", len(measurements)
        )


def _write(waiting: dict[int, _OfApp]) -> None:
    for app, measurements in waiting.values():
        record_measurements(measurements, app=app, now=timezone.now())


measurements_waiting = Buffer[int, _OfApp](
    "errors: measurements",
    seconds=1,
    write=_write,
    merge=lambda known, new: (known[0], known[1] + new[1]),
    count_of=lambda of_app: len(of_app[1]),
    max_keys=MAX_APPS,
    max_count=MAX_WAITING,
    flush_at=FLUSH_AT,
    on_failure=OnFailure.DROP,  # A retry could write the measurements of some apps twice.
)
