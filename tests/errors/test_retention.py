from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection

from errors.models import (
    ErrorEvent,
    ErrorGroup,
    EventPayload,
    MinuteCount,
    PayloadDictionary,
    SeenEvent,
    UserReport,
)
from errors.services import retention
from errors.store import partitions
from tests.errors.stored import NOON, group_of, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def days_ago(days: float) -> dict[str, Any]:
    return {"received_at": NOON - timedelta(days=days), "occurred_at": NOON - timedelta(days=days)}


def test_events_are_deleted_after_the_retention_of_the_app_and_counts_are_kept() -> None:
    month, week = make_app(retention_days=30), make_app(retention_days=7)
    old = make_error(month, group="a", **days_ago(31.5))
    kept = [make_error(month, group="a", **days_ago(29)), make_error(week, **days_ago(6))]
    make_error(week, **days_ago(8.5))

    removed = retention.prune(now=NOON)

    assert removed["events"] == 2
    assert set(ErrorEvent.objects.values_list("pk", flat=True)) == {event.pk for event in kept}
    assert EventPayload.objects.count() == SeenEvent.objects.count() == 2
    assert group_of(old).event_count == 2
    assert sum(MinuteCount.objects.values_list("count", flat=True)) == 4
    assert ErrorGroup.objects.count() == 3


def test_an_event_sent_again_after_its_retention_is_stored_again() -> None:
    app = make_app()
    event = make_error(app, **days_ago(40))
    retention.prune(now=NOON)

    make_error(app, event_id=event.event_id.hex)

    assert ErrorEvent.objects.count() == 1


def test_a_run_stops_at_its_time_limit_and_the_next_run_continues() -> None:
    app = make_app()
    for _ in range(3):
        make_error(app, **days_ago(40))

    retention.prune(now=NOON, seconds=0)
    assert ErrorEvent.objects.count() == 3

    retention.prune(now=NOON)
    assert ErrorEvent.objects.count() == 0


def test_events_of_a_deleted_app_are_deleted() -> None:
    app = make_app()
    make_error(app, **days_ago(40))
    app.delete()

    retention.prune(now=NOON)

    assert not ErrorEvent.objects.exists()
    assert not EventPayload.objects.exists()


def test_dictionaries_are_kept_while_they_are_used() -> None:
    app = make_app()
    for _ in range(3):
        make_error(app, group="unused", **days_ago(50))
    for _ in range(3):
        make_error(app, group="used")
    assert PayloadDictionary.objects.count() == 2

    retention.prune(now=NOON)

    assert PayloadDictionary.objects.get().last_used_date == NOON.date()


def test_user_reports_are_deleted_after_the_retention_of_the_app() -> None:
    app = make_app(retention_days=30)
    for days in (31, 29):
        UserReport.objects.create(app=app, message="x", received_at=NOON - timedelta(days=days))

    retention.prune(now=NOON)

    assert UserReport.objects.count() == 1


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="part of the PostgreSQL run: SQLite has no partitions"
)
def test_on_postgresql_whole_days_are_dropped() -> None:
    make_error(make_app(), **days_ago(35))
    make_error(make_app(), **days_ago(1))

    removed = retention.prune(now=NOON)

    assert removed["days"] == 1
    days = partitions.days()
    assert (NOON - timedelta(days=35)).date() not in days
    assert (NOON + timedelta(days=7)).date() in days


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="part of the PostgreSQL run: SQLite has no partitions"
)
def test_deleting_a_day_continues_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test that each run makes progress even if a day has more rows than one run can delete."""
    monkeypatch.setattr(retention, "DAY_CHUNK_SIZE", 2)
    app = make_app()
    for _ in range(5):
        make_error(app, **days_ago(35))
    left = []
    for _ in range(3):
        ticks = iter((0.0, 0.0, 2.0, 2.0, 2.0))
        budget = retention.Budget(1.0, clock=partial(next, ticks))
        retention._delete_seen_of_day((NOON - timedelta(days=35)).date(), budget)
        left.append(SeenEvent.objects.count())

    assert left == [3, 1, 0]
    assert retention.prune(now=NOON)["days"] == 1
    assert not ErrorEvent.objects.exists()


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="part of the PostgreSQL run: SQLite has no partitions"
)
def test_a_long_backup_delays_dropping_a_day_but_does_not_block_ingestion() -> None:
    """Test that pruning does not wait for an exclusive lock, because a waiting lock request blocks ingestion."""
    make_error(make_app(), **days_ago(35))
    backup = connection.copy()
    with backup.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE errors_errorevent, errors_eventpayload IN ACCESS SHARE MODE")
        assert retention.prune(now=NOON)["days"] == 0
        make_error(make_app(), **days_ago(36))  # Storing an event creates the partition of its day.
    backup.close()

    assert retention.prune(now=NOON)["days"] == 2
