"""Test the forecasts of series that rise, fall, stay flat, are noisy or short, have steps, or rise fast at the end."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lib.forecasts import (
    Forecast,
    Outlook,
    Trend,
    backlog_course,
    forecast,
    pace,
    pace_quantity,
    soonest_first,
    spell,
    spell_range,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY


def course(
    value: Callable[[float], float], *, days: float = 7, every: timedelta = HOUR
) -> list[tuple[datetime, float]]:
    """Return pairs of a time and a value until noon. `value` computes each value from the days since the start."""
    count = int(days * DAY / every)
    return [
        (NOON - (count - place) * every, value(place * every / DAY)) for place in range(count + 1)
    ]


def weekly(points: list[tuple[datetime, float]], limit: float = 100, **given: object) -> Trend:
    return forecast(points, limit=limit, now=NOON, bases=[DAY, WEEK], **given)  # type: ignore[arg-type]


def test_a_steady_rise_reaches_the_limit_at_the_computed_time() -> None:
    # The level is 45 and rises by 5 a day, so it needs 11 days for the remaining 55.
    trend = weekly(course(lambda day: 10 + 5 * day))

    assert trend.outlook is Outlook.EXPECTED
    assert trend.text == "in about 11 days"
    assert trend.rate == pytest.approx(5)
    assert trend.level == 45


@given(
    start=st.floats(0, 50), pace=st.floats(1, 30), noise=st.floats(0, 0.02), seed=st.integers(0, 99)
)
def test_the_range_of_a_steady_rise_contains_the_true_time(
    start: float, pace: float, noise: float, seed: int
) -> None:
    drawn = random.Random(seed)
    points = course(lambda day: start + pace * day + noise * drawn.uniform(-1, 1))
    limit = points[-1][1] + 5 * pace  # The limit is reached in five days.
    slack = timedelta(hours=4)

    trend = weekly(points, limit)

    assert trend.outlook is Outlook.EXPECTED
    assert trend.earliest is not None
    assert trend.latest is not None
    assert trend.earliest - slack <= NOON + 5 * DAY <= trend.latest + slack


@pytest.mark.parametrize(
    ("value", "outlook", "text"),
    [
        (lambda day: 40.0, Outlook.NOT_IN_SIGHT, "not at this pace"),
        (lambda day: 90 - 5 * day, Outlook.NOT_IN_SIGHT, "not at this pace"),
        (lambda day: 10 + 0.1 * day, Outlook.NOT_IN_SIGHT, "not within about 12 weeks"),
        (lambda day: 120.0, Outlook.REACHED, "now"),
        (lambda day: 40.0 if day < 3.2 else 60.0, Outlook.UNCLEAR, "no clear trend, at the earliest in"),
        (lambda day: 10.0 * int(day), Outlook.EXPECTED, "in 2 to 4 days"),
    ],
    ids=["flat", "falling", "far", "above", "one step", "staircase"],
)  # fmt: skip
def test_known_courses_have_the_expected_forecast(
    value: Callable[[float], float], outlook: Outlook, text: str
) -> None:
    trend = weekly(course(value))

    assert trend.outlook is outlook
    assert trend.text.startswith(text)


def test_noise_without_a_trend_gives_no_date() -> None:
    for seed in range(20):
        drawn = random.Random(seed)
        trend = weekly(course(lambda day, drawn=drawn: drawn.uniform(20, 60)), limit=500)  # type: ignore[misc]
        assert trend.outlook is Outlook.NOT_IN_SIGHT


def test_a_noisy_rise_gives_a_wider_range_than_a_steady_one() -> None:
    drawn = random.Random(5)
    steady = weekly(course(lambda day: 10 + 8 * day), limit=120)
    noisy = weekly(course(lambda day: 10 + 8 * day + drawn.uniform(-12, 12)), limit=120)

    def width(trend: Trend) -> timedelta:
        assert trend.earliest
        assert trend.latest
        return trend.latest - trend.earliest

    assert noisy.outlook is Outlook.EXPECTED
    assert width(noisy) > 3 * width(steady)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(NOON, 5.0)],
        [(NOON - HOUR, 5.0), (NOON, 6.0)],
        course(lambda day: day, days=0.2),  # The series covers only five hours.
        [(at - 2 * DAY, value) for at, value in course(lambda day: day)],
    ],
    ids=["none", "one", "two", "short", "old"],
)
def test_too_little_data_gives_no_forecast(points: list[tuple[datetime, float]]) -> None:
    trend = weekly(points)

    assert trend.outlook is Outlook.NO_DATA
    assert trend.text == "not enough data"


def test_the_recent_pace_determines_a_near_forecast() -> None:
    # The level is 70 now and grows by 60 a day.
    rush = course(lambda day: 10.0 if day < 6 else 10 + 60 * (day - 6))

    trend = weekly(rush)

    assert trend.text == "in about 12 hours"
    assert trend.basis == DAY


def test_the_longer_period_determines_a_distant_forecast() -> None:
    calm = course(lambda day: 5 * day if day < 6 else 30 + 2 * (day - 6))

    trend = weekly(calm, limit=40)

    assert trend.basis == WEEK


def test_a_single_outlier_does_not_change_the_forecast() -> None:
    points = course(lambda day: 10 + 5 * day)
    peak = [(at, 1_000.0 if place == 60 else value) for place, (at, value) in enumerate(points)]

    assert weekly(peak, limit=2_000).text == weekly(points, limit=2_000).text


def test_a_falling_level_reaches_zero() -> None:
    points = course(lambda day: 700 - 2400 * day, days=0.25, every=timedelta(minutes=1))

    trend = forecast(points, limit=0, now=NOON, bases=[6 * HOUR], is_falling=True)

    assert trend.level == 100
    assert trend.text == "in about 60 min"
    rising = forecast(
        course(lambda day: 700 + day, days=0.25),
        limit=0,
        now=NOON,
        bases=[6 * HOUR],
        is_falling=True,
    )
    assert rising.text == "not at this pace"


def test_a_limit_after_the_deadline_is_not_in_sight() -> None:
    trend = weekly(course(lambda day: 10 + 5 * day), deadline=NOON + 9 * DAY)

    assert (trend.outlook, trend.text) == (Outlook.NOT_IN_SIGHT, "not within about 9 days")


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=20), "about 5 min"),
        (timedelta(minutes=37), "about 35 min"),
        (3 * HOUR, "about 3 hours"),
        (47 * HOUR, "about 47 hours"),
        (8 * DAY, "about 8 days"),
        (30 * DAY, "about 4 weeks"),
        (200 * DAY, "about 7 months"),
    ],
)
def test_durations_are_rounded(duration: timedelta, text: str) -> None:
    assert spell(duration) == text


def test_a_range_has_one_unit() -> None:
    assert spell_range(5 * DAY, 9 * DAY) == "5 to 9 days"
    assert spell_range(20 * HOUR, 3 * DAY) == "1 to 3 days"
    assert spell_range(HOUR, 65 * timedelta(minutes=1)) == "60 to 65 min"
    assert spell_range(HOUR / 2, 31 * timedelta(minutes=1)) == "about 30 min"


def test_a_backlog_is_counted_by_minute() -> None:
    minute = timedelta(minutes=1)
    spans = [
        (NOON - 30 * minute, None),
        (NOON - 5 * minute, NOON - 2 * minute),
        (NOON - 4 * minute, NOON + minute),
        (NOON - 50 * minute, NOON - 20 * minute),
    ]

    counts = [value for _, value in backlog_course(spans, now=NOON, length=6 * minute)]

    assert counts == [1, 2, 3, 3, 2, 2, 2]


def test_forecasts_are_listed_by_urgency() -> None:
    def one(title: str, outlook: Outlook, days: float = 0) -> Forecast:
        at = NOON + days * DAY if days else None
        return Forecast(title, Trend(outlook, NOON, earliest=at, latest=at), "")

    listed = soonest_first(
        [
            one("nothing", Outlook.NO_DATA),
            one("calm", Outlook.NOT_IN_SIGHT),
            one("later", Outlook.EXPECTED, 20),
            one("soon", Outlook.EXPECTED, 2),
            one("over", Outlook.REACHED),
        ]
    )

    assert [item.title for item in listed] == ["over", "soon", "later", "calm", "nothing"]
    assert [item.tone for item in listed] == ["critical", "warning", "", "", ""]


@pytest.mark.parametrize(
    ("rate", "unit", "per", "expected"),
    [
        (-13 * 24, "tasks", "hour", "falling by 13 tasks an hour in the last 59 min"),
        (-24, "tasks", "hour", "falling by 1 task an hour in the last 59 min"),
        (24, "tasks", "hour", "rising by 1 task an hour in the last 59 min"),
        (1234.5 * 24, "events", "hour", "rising by 1,234 events an hour in the last 59 min"),
        (-0.01, "tasks", "hour", "steady in the last 59 min"),
        (0, "messages", "hour", "steady in the last 59 min"),
        (82e6, "bytes", "day", "growing by 82 MB a day in the last 59 min"),
        (-1.5e9, "bytes", "day", "shrinking by 1.5 GB a day in the last 59 min"),
        (0, "bytes", "day", "steady in the last 59 min"),
    ],
)
def test_the_pace_is_a_phrase_without_a_sign(
    rate: float, unit: str, per: str, expected: str
) -> None:
    trend = Trend(Outlook.NOT_IN_SIGHT, NOON, rate=rate, basis=timedelta(minutes=59))

    assert pace(trend, unit, per=per) == expected


def test_a_trend_without_data_has_no_pace() -> None:
    assert pace(Trend(Outlook.NO_DATA, NOON), "tasks") == ""


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1, "1 ticket"),
        (-1, "1 ticket"),
        (0.42, "0.4 tickets"),
        (12.6, "13 tickets"),
        (0, "0 tickets"),
    ],
)
def test_only_a_slow_pace_has_a_decimal(rate: float, expected: str) -> None:
    assert pace_quantity(rate, "tickets") == expected
