"""Test that roll-ups contain the same counts as the minutes from which they are computed."""

from datetime import UTC, datetime, timedelta

import pytest

from core.clients.models import ClientApp
from errors.models import HourCount, MinuteCount, QuarterCount, Severity, hour_of, minute_of
from errors.queries import counts
from errors.services import count_rollups
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
        for days in (1, 7, 30)
        for until in (NOON, NOON - 3 * DAY)
        for of in (None, app)
    ]
    before = [counts.slots(since, until, step, app=of) for since, until, step, of in asked]

    count_rollups.roll_up(now=NOON)

    for rollup in count_rollups.ROLLUPS:
        assert count_rollups.first_pending_minute(rollup) == hour_of(NOON) * 60
    assert [counts.slots(since, until, step, app=of) for since, until, step, of in asked] == before
    assert total(7) > total(7, app) > 0


@pytest.mark.parametrize(("days", "rollup"), [(1, QuarterCount), (7, HourCount)])
def test_a_chart_reads_the_roll_up_and_the_minutes_of_the_current_hour(
    app: ClientApp, days: int, rollup: type[QuarterCount] | type[HourCount]
) -> None:
    took(app, NOON - HOUR, 5)
    count_rollups.roll_up(now=NOON)
    took(app, NOON, 7)

    assert total(days) == 12
    assert rollup.objects.get().count == 5

    rollup.objects.update(count=6)
    assert total(days) == 13


def test_a_roll_up_includes_hours_that_earlier_runs_missed(app: ClientApp) -> None:
    took(app, NOON - 9 * DAY, 1)
    count_rollups.roll_up(now=NOON - 8 * DAY)
    took(app, NOON - 5 * DAY, 2)
    took(app, NOON - HOUR, 4)

    assert total(30) == 7
    count_rollups.roll_up(now=NOON)
    assert total(30) == 7
    assert HourCount.objects.count() == 3


def test_events_committed_after_the_end_of_their_hour_are_counted(app: ClientApp) -> None:
    took(app, NOON - HOUR, 5)
    count_rollups.roll_up(now=NOON)
    MinuteCount.objects.update(count=6)

    count_rollups.roll_up(now=NOON + HOUR)
    assert total(7) == 6


def test_an_import_of_old_events_ends_with_a_full_roll_up(app: ClientApp) -> None:
    took(app, NOON - HOUR, 5)
    count_rollups.roll_up(now=NOON)
    took(app, NOON - 20 * DAY, 9)

    count_rollups.roll_up(now=NOON, everything=True)
    assert total(30) == 14
