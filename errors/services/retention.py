"""Delete events that are older than their app's retention, and old counts per app. Groups and their history stay.

On PostgreSQL, the partition of a day that is past every app's retention is dropped. Otherwise, rows are deleted in
small chunks, each in a short transaction, so that ingestion never waits long.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from core.clients.models import ClientApp
from core.lib.durability import relaxed_durability
from errors.models import (
    Discarded,
    ErrorEvent,
    EventPayload,
    HourCount,
    MinuteCount,
    PayloadDictionary,
    QuarterCount,
    SeenEvent,
    UserReport,
    hour_of,
    minute_of,
    received_id,
)
from errors.services.count_rollups import QUARTER_MINUTES
from errors.store import partitions
from errors.store.write_lock import write_lock

_Row = tuple[int, UUID, int]

CHUNK_SIZE = 40  # Events deleted per transaction.
# SeenEvent rows deleted per transaction before a day's partitions are dropped.
DAY_CHUNK_SIZE = 500
# After each chunk, the task sleeps max(MIN_PAUSE_SECONDS, _PAUSE_FACTOR x
# the chunk's duration), so that ingestion can write.
MIN_PAUSE_SECONDS = 0.02
_PAUSE_FACTOR = 5
MINUTE_COUNT_RETENTION = timedelta(days=100)
SUM_RETENTION = timedelta(days=400)
_DICTIONARY_MARGIN = timedelta(days=2)
# Events of a deleted app remain, because they have no foreign-key
# constraint. They are deleted with this delay after the longest retention.
_DELETED_APP_MARGIN = timedelta(days=1)


class Budget:
    """The time limit of a run. A run that spends it stops, and the next run continues from there."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds

    @property
    def is_spent(self) -> bool:
        return self._clock() >= self._ends


def prune(*, now: datetime, seconds: float = 40.0) -> dict[str, int]:
    """Delete rows past their retention, and stop deleting events after `seconds`.

    On PostgreSQL, also create the partitions of the next days. Return the number of deleted events, days and
    dictionaries.
    """
    budget = Budget(seconds)
    removed = {"events": 0, "days": 0, "dictionaries": 0}
    retention = dict(ClientApp.objects.values_list("pk", "retention_days"))
    longest = timedelta(days=max(retention.values(), default=30))
    if partitions.is_partitioned():
        for day in range(8):
            with transaction.atomic():
                partitions.ensure((now + timedelta(days=day)).date())
        for expired_day in [day for day in partitions.days() if _end(day) <= now - longest]:
            removed["events"] += _delete_seen_of_day(expired_day, budget)
            if budget.is_spent:
                return removed
            removed["days"] += partitions.drop(expired_day)
    cutoffs = {app_id: now - timedelta(days=days) for app_id, days in retention.items()}
    for app_id, cutoff in cutoffs.items():
        removed["events"] += _delete_events(received_id(cutoff), budget, app_id=app_id)
    removed["events"] += _delete_events(received_id(now - longest - _DELETED_APP_MARGIN), budget)
    removed["dictionaries"] = _delete_dictionaries((now - longest - _DICTIONARY_MARGIN).date())
    for app_id, cutoff in cutoffs.items():
        UserReport.objects.filter(app_id=app_id, received_at__lt=cutoff).delete()
    oldest_minute = minute_of(now - MINUTE_COUNT_RETENTION)
    MinuteCount.objects.filter(minute__lt=oldest_minute).delete()
    QuarterCount.objects.filter(quarter__lt=oldest_minute // QUARTER_MINUTES).delete()
    HourCount.objects.filter(hour__lt=hour_of(now - SUM_RETENTION)).delete()
    Discarded.objects.filter(date__lt=(now - SUM_RETENTION).date()).delete()
    return removed


def _end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _chunks(cutoff: int, app_id: int | None) -> Iterable[list[_Row]]:
    """Yield chunks of (id, event_id, app_id) of events before the cutoff, oldest first."""
    start = 0
    while True:
        events = ErrorEvent.objects.filter(pk__gt=start, pk__lt=cutoff)
        if app_id is not None:
            events = events.filter(app_id=app_id)
        chunk = list(events.order_by("pk").values_list("pk", "event_id", "app_id")[:CHUNK_SIZE])
        if not chunk:
            return
        yield chunk
        start = chunk[-1][0]


def _delete_events(cutoff: int, budget: Budget, *, app_id: int | None = None) -> int:
    count = 0
    for chunk in _chunks(cutoff, app_id):
        if budget.is_spent:
            break
        ids = [id for id, _, _ in chunk]
        with write_lock():
            started = time.monotonic()
            # If a power failure undoes the deletion, the next run repeats it.
            with relaxed_durability(), transaction.atomic():
                _delete_seen(chunk)
                EventPayload.objects.filter(pk__in=ids).delete()
                ErrorEvent.objects.filter(pk__in=ids).delete()
            took = time.monotonic() - started
        count += len(chunk)
        time.sleep(max(MIN_PAUSE_SECONDS, _PAUSE_FACTOR * took))
    return count


def _delete_seen_of_day(day: date, budget: Budget) -> int:
    """Delete the ids of the day's events from SeenEvent, so that the day's partitions can be dropped.

    Return the number of ids. A run continues where the last run stopped.
    """
    count = 0
    end = received_id(_end(day))
    start = _first_seen_event(received_id(_end(day) - timedelta(days=1)), end)
    while start is not None and not budget.is_spent:
        of_day = ErrorEvent.objects.filter(pk__gte=start, pk__lt=end).order_by("pk")
        following = of_day.values_list("pk", flat=True)[DAY_CHUNK_SIZE : DAY_CHUNK_SIZE + 1].first()
        started = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM errors_seenevent s USING errors_errorevent e"
                " WHERE e.id >= %s AND e.id < %s AND s.event_id = e.event_id AND s.app_id = e.app_id",
                [start, following or end],
            )
            count += cursor.rowcount
        start = following
        time.sleep(max(MIN_PAUSE_SECONDS, _PAUSE_FACTOR * (time.monotonic() - started)))
    return count


def _first_seen_event(start: int, end: int) -> int | None:
    """Return the first event of the range whose id is still in SeenEvent, or None."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM errors_errorevent e JOIN errors_seenevent s USING (event_id, app_id)"
            " WHERE e.id >= %s AND e.id < %s ORDER BY e.id LIMIT 1",
            [start, end],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _delete_seen(chunk: list[_Row]) -> None:
    by_app: dict[int, list[UUID]] = {}
    for _, event_id, app_id in chunk:
        by_app.setdefault(app_id, []).append(event_id)
    for app_id, event_ids in by_app.items():
        SeenEvent.objects.filter(event_id__in=event_ids, app_id=app_id).delete()


def _delete_dictionaries(before: date) -> int:
    """Delete dictionaries last used before this date, and return their number. The store updates the date daily."""
    count, _ = PayloadDictionary.objects.filter(last_used_date__lt=before).delete()
    return count
