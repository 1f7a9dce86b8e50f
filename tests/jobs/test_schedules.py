"""Test the due times of scheduled tasks, including nights with a clock change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from core.lib.schedules import DEFAULT_TIMEOUT, Scheduled, every, in_words

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def due_between(cron: str, since: datetime, until: datetime) -> list[datetime]:
    scheduled = Scheduled("a.b", cron, "", DEFAULT_TIMEOUT)
    found = []
    due_at = since
    while (due_at := scheduled.next_after(due_at)) <= until:
        found.append(due_at)
    return found


def test_the_next_run_is_strictly_in_the_future() -> None:
    scheduled = Scheduled("a.b", "*/5 * * * *", "", DEFAULT_TIMEOUT)

    assert scheduled.next_after(NOON) == NOON + timedelta(minutes=5)
    assert scheduled.next_after(NOON - timedelta(microseconds=1)) == NOON


def test_times_of_day_are_in_the_time_zone_of_the_portal(settings: Settings) -> None:
    settings.TIME_ZONE = "America/New_York"

    found = due_between("0 2 * * *", NOON, NOON + timedelta(days=1))

    assert found == [datetime(2026, 3, 3, 7, 0, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),  # On this day, 02:00 does not exist.
        ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),  # On this day, 02:00 occurs twice.
        ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
        # The clock changes by half an hour.
        ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
        ("America/Santiago", datetime(2026, 9, 6, tzinfo=UTC)),  # The clock changes at midnight.
    ],
)
@pytest.mark.parametrize("cron", ["0 2 * * *", "30 2 * * *", "0 0 * * *", "10 1 * * *"])
def test_a_daily_job_runs_once_on_days_with_a_clock_change(
    settings: Settings, zone: str, night: datetime, cron: str
) -> None:
    settings.TIME_ZONE = zone

    found = due_between(cron, night - timedelta(hours=36), night + timedelta(hours=84))

    days = [due_at.astimezone(ZoneInfo(zone)).date() for due_at in found]
    assert len(days) == len(set(days)) == 5
    assert all(timedelta(hours=22) <= b - a <= timedelta(hours=26) for a, b in pairwise(found))


@pytest.mark.parametrize("cron", ["* * * * *", "*/15 * * * *", "15 * * * *"])
@pytest.mark.parametrize("month_day", [(3, 29), (10, 25)])
def test_hourly_jobs_keep_their_interval_across_clock_changes(
    settings: Settings, cron: str, month_day: tuple[int, int]
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    midnight = datetime(2026, *month_day, tzinfo=UTC)

    found = due_between(cron, midnight, midnight + timedelta(hours=4))

    assert len({b - a for a, b in pairwise(found)}) == 1


@pytest.mark.parametrize("minutes", [0, 7, 45, 60])
def test_an_interval_that_does_not_divide_the_hour_is_rejected(minutes: int) -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        every(minutes=minutes)


@pytest.mark.parametrize(
    ("cron", "text"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 min"),
        ("5 * * * *", "hourly at :05"),
        ("10 3 * * *", "daily at 03:10"),
        ("0 8 * * 1", "Mondays at 08:00"),
        ("0 8 1 * *", "0 8 1 * *"),
        ("0,30 8 * * *", "0,30 8 * * *"),
    ],
)
def test_schedules_are_shown_in_words(cron: str, text: str) -> None:
    assert in_words(cron) == text
