"""Test that hourly roll-ups contain the same counts as the minutes from which they are computed."""

from datetime import UTC, datetime, timedelta

import pytest

from core.clients.models import ClientApp
from errors.models import HourCount, MinuteCount, Severity, hour_of, minute_of
from errors.queries import counts
from errors.services import hourly_counts
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def took(app: ClientApp, at: datetime, count: int, severity: Severity = Severity.HIGH) -> None:
    MinuteCount.objects.create(minute=minute_of(at), app=app, severity=severity, count=count)


def total(days: int, app: ClientApp | None = None) -> int:
    step = counts.step_for(days * DAY)
    slots = counts.slots(NOON - days * DAY, NOON, step, app=app)
    return sum(slots[Severity.HIGH].values())


def test_a_chart_is_the_same_before_and_after_a_roll_up(app: ClientApp) -> None:
    other = make_app("gate")
    for minutes in range(0, 6 * 24 * 60, 37):
        took(app, NOON - timedelta(minutes=minutes), 3)
        took(other, NOON - timedelta(minutes=minutes), 2)
    asked = [
        (NOON - days * DAY, until, counts.step_for(days * DAY), of)
        for days in (7, 30)
        for until in (NOON, NOON - 3 * DAY)
        for of in (None, app)
    ]
    before = [counts.slots(since, until, step, app=of) for since, until, step, of in asked]

    hourly_counts.roll_up(now=NOON)

    assert hourly_counts.first_pending_hour() == hour_of(NOON)
    assert [counts.slots(since, until, step, app=of) for since, until, step, of in asked] == before
    assert total(7) > total(7, app) > 0


def test_the_current_hour_is_read_from_minute_counts(app: ClientApp) -> None:
    took(app, NOON - HOUR, 5)
    hourly_counts.roll_up(now=NOON)
    took(app, NOON, 7)

    assert total(7) == 12
    assert HourCount.objects.get().count == 5


def test_a_roll_up_includes_hours_that_earlier_runs_missed(app: ClientApp) -> None:
    took(app, NOON - 9 * DAY, 1)
    hourly_counts.roll_up(now=NOON - 8 * DAY)
    took(app, NOON - 5 * DAY, 2)
    took(app, NOON - HOUR, 4)

    assert total(30) == 7
    hourly_counts.roll_up(now=NOON)
    assert total(30) == 7
    assert HourCount.objects.count() == 3


def test_events_committed_after_the_end_of_their_hour_are_counted(app: ClientApp) -> None:
    took(app, NOON - HOUR, 5)
    hourly_counts.roll_up(now=NOON)
    MinuteCount.objects.update(count=6)

    hourly_counts.roll_up(now=NOON + HOUR)
    assert total(7) == 6


def test_an_import_of_old_events_ends_with_a_full_roll_up(app: ClientApp) -> None:
    took(app, NOON - HOUR, 5)
    hourly_counts.roll_up(now=NOON)
    took(app, NOON - 20 * DAY, 9)

    hourly_counts.roll_up(now=NOON, everything=True)
    assert total(30) == 14
