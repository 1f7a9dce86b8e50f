"""Test who is on call around handovers, hours, overrides, clock changes, leap days and the ends of months."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.oncall.ical import CalendarEvent, write_calendar
from alerts.oncall.plan import (
    EVERY_DAY,
    LOOK_AHEAD,
    Duty,
    Override,
    Plan,
    Rotation,
    TurnUnit,
    on_call_at,
    shifts_between,
    whole_shifts,
)

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ANN, BOB, CY = 1, 2, 3


def rotation(**changes: object) -> Rotation:
    given = {
        "id": 7,
        "people": (ANN, BOB, CY),
        "first_day": date(2026, 3, 2),  # A Monday.
        "handover_at": time(9),
        "zone": BERLIN,
        "unit": TurnUnit.WEEK,
    }
    return Rotation(**{**given, **changes})  # type: ignore[arg-type]


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[arg-type,misc]


def person(plan: Plan | Rotation, at: datetime) -> int | None:
    duty = on_call_at(plan if isinstance(plan, Plan) else Plan((plan,)), at)
    return duty.person if duty else None


def check_handovers(one: Rotation, expected: list[tuple[datetime, int]]) -> None:
    """Assert that each person in `expected` is on call from the given instant on, but not a second earlier."""
    before: int | None = None
    for at, who in expected:
        assert person(one, at - timedelta(seconds=1)) == before or before is None
        assert person(one, at) == who
        before = who


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (  # Daylight saving time begins on 29 March, and the handover stays at 09:00.
            {"first_day": date(2026, 3, 23)},
            [
                (datetime(2026, 3, 23, 8, tzinfo=UTC), ANN),
                (datetime(2026, 3, 30, 7, tzinfo=UTC), BOB),
            ],
        ),
        (  # Daylight saving time ends on 25 October.
            {"first_day": date(2026, 10, 19)},
            [
                (datetime(2026, 10, 19, 7, tzinfo=UTC), ANN),
                (datetime(2026, 10, 26, 8, tzinfo=UTC), BOB),
            ],
        ),
        (  # A handover at 02:30, which does not exist on 29 March, is at 03:30.
            {"unit": TurnUnit.DAY, "handover_at": time(2, 30), "first_day": date(2026, 3, 28)},
            [
                (datetime(2026, 3, 28, 1, 30, tzinfo=UTC), ANN),
                (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), BOB),
                (datetime(2026, 3, 30, 0, 30, tzinfo=UTC), CY),
            ],
        ),
        (  # The time 02:30 occurs twice on 25 October, and the handover is at its first occurrence.
            {"unit": TurnUnit.DAY, "handover_at": time(2, 30), "first_day": date(2026, 10, 24)},
            [
                (datetime(2026, 10, 24, 0, 30, tzinfo=UTC), ANN),
                (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), BOB),
                (datetime(2026, 10, 26, 1, 30, tzinfo=UTC), CY),
            ],
        ),
        (  # The leap day has a turn of its own.
            {"unit": TurnUnit.DAY, "first_day": date(2028, 2, 28)},
            [
                (berlin(2028, 2, 28, 9), ANN),
                (berlin(2028, 2, 29, 9), BOB),
                (berlin(2028, 3, 1, 9), CY),
            ],
        ),
        (  # Monthly turns from the 31st begin on the last day of shorter months.
            {"unit": TurnUnit.MONTH, "first_day": date(2028, 1, 31)},
            [
                (berlin(2028, 1, 31, 9), ANN),
                (berlin(2028, 2, 29, 9), BOB),
                (berlin(2028, 3, 31, 9), CY),
                (berlin(2028, 4, 30, 9), ANN),
                (berlin(2029, 2, 28, 9), BOB),
            ],
        ),
        (
            {"every": 2},
            [(berlin(2026, 3, 2, 9), ANN), (berlin(2026, 3, 16, 9), BOB)],
        ),
        (  # Samoa skipped 30 December 2011, so the turn of that day is empty.
            {
                "zone": ZoneInfo("Pacific/Apia"),
                "unit": TurnUnit.DAY,
                "first_day": date(2011, 12, 29),
            },
            [
                (datetime(2011, 12, 29, 19, tzinfo=UTC), ANN),
                (datetime(2011, 12, 30, 19, tzinfo=UTC), CY),
                (datetime(2011, 12, 31, 19, tzinfo=UTC), ANN),
            ],
        ),
    ],
)
def test_handovers_follow_the_wall_clock(
    changes: dict[str, object], expected: list[tuple[datetime, int]]
) -> None:
    check_handovers(rotation(**changes), expected)


def test_a_rotation_is_empty_before_its_first_handover_and_without_people() -> None:
    assert person(rotation(), berlin(2026, 3, 2, 9) - MINUTE) is None
    assert person(rotation(people=()), berlin(2026, 4, 1)) is None
    assert person(Plan(()), berlin(2026, 4, 1)) is None


def test_the_first_rotation_whose_hours_include_the_time_determines_the_person() -> None:
    office = rotation(
        id=1, people=(BOB,), hours=(time(9), time(17)), weekdays=frozenset(range(1, 6))
    )
    plan = Plan((office, rotation(id=2, people=(ANN,))))

    assert on_call_at(plan, berlin(2026, 3, 3, 9)) == Duty(BOB, rotation=1)
    assert on_call_at(plan, berlin(2026, 3, 3, 17)) == Duty(ANN, rotation=2)
    assert person(plan, berlin(2026, 3, 3, 8, 59)) == ANN
    assert person(plan, berlin(2026, 3, 7, 12)) == ANN  # Bob is not on call on Saturdays.


def test_hours_that_span_midnight_belong_to_the_weekday_on_which_they_begin() -> None:
    night = rotation(people=(ANN,), hours=(time(22), time(6)), weekdays=frozenset({5}))

    assert person(night, berlin(2026, 3, 6, 22)) == ANN
    assert person(night, berlin(2026, 3, 7, 5, 59)) == ANN
    assert person(night, berlin(2026, 3, 7, 6)) is None
    assert person(night, berlin(2026, 3, 7, 22)) is None


FOLLOW_THE_SUN = Plan(
    (
        rotation(id=1, people=(ANN,), zone=ZoneInfo("Asia/Tokyo"), hours=(time(9), time(17))),
        rotation(id=2, people=(BOB,), zone=BERLIN, hours=(time(9), time(17))),
        rotation(id=3, people=(CY,), zone=ZoneInfo("America/New_York"), hours=(time(11), time(19))),
        # This rotation covers the hour from 23:00 UTC. While New York has daylight saving time, no other rotation
        # covers that hour.
        rotation(id=4, people=(BOB,), zone=UTC_ZONE),
    )
)


def test_a_follow_the_sun_schedule_has_no_gap_on_any_day_of_a_year() -> None:
    since = datetime(2026, 3, 10, tzinfo=UTC)

    shifts = shifts_between(FOLLOW_THE_SUN, since, since + 365 * DAY)

    assert all(shift.duty for shift in shifts)
    assert {shift.duty.rotation for shift in shifts if shift.duty} == {1, 2, 3, 4}
    # Clocks change on 8 March in New York and on 29 March in Berlin. Between these days, the cities are an hour closer.
    before = datetime(2026, 3, 20, 15, 30, tzinfo=UTC)
    assert on_call_at(FOLLOW_THE_SUN, before) == Duty(BOB, rotation=2)
    assert on_call_at(FOLLOW_THE_SUN, before + 14 * DAY) == Duty(CY, rotation=3)


def test_the_newest_override_counts_and_may_replace_a_single_person() -> None:
    since = berlin(2026, 3, 2, 9)
    plan = Plan(
        (rotation(),),
        (
            Override(1, CY, since + HOUR, since + 5 * HOUR),
            Override(2, BOB, since + 2 * HOUR, since + 3 * HOUR),
            Override(3, CY, since, since + 14 * DAY, instead_of=BOB),
        ),
    )

    found = [person(plan, since + hours * HOUR) for hours in range(6)]
    assert found == [ANN, CY, CY, CY, CY, ANN]
    assert person(plan, since + 8 * DAY) == CY  # On this day, Cy replaces Bob.
    assert on_call_at(plan, since + 14 * DAY - MINUTE) == Duty(CY, override=3)


# --- generated schedules, compared with a slower calculation -------------------------------------

ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"),
    *("Pacific/Apia", "America/St_Johns"),
]
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
ROTATIONS = st.builds(
    Rotation,
    id=st.integers(1, 9),
    people=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    first_day=st.dates(date(2026, 2, 20), date(2026, 4, 10)),
    handover_at=CLOCKS,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    unit=st.sampled_from(TurnUnit),
    every=st.integers(1, 3),
    hours=st.none() | st.tuples(CLOCKS, CLOCKS),
    weekdays=st.just(EVERY_DAY) | st.sets(st.integers(1, 7), min_size=1).map(frozenset),
)
OFFSETS = st.integers(0, 60 * 24 * 60)
START = datetime(2026, 3, 1, tzinfo=UTC)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    overrides = []
    for number in range(draw(st.integers(0, 3))):
        starts_at = START + draw(OFFSETS) * MINUTE
        overrides.append(
            Override(
                number,
                draw(st.integers(1, 4)),
                starts_at,
                starts_at + draw(st.integers(1, 20_000)) * MINUTE,
                draw(st.none() | st.integers(1, 4)),
            )
        )
    return Plan(tuple(draw(st.lists(ROTATIONS, max_size=3))), tuple(overrides))


def as_utc(wanted: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which clocks in `zone` show `wanted`, found by trying all UTC offsets.

    If clocks skip that time, use the UTC offset of the day before, as calendars do (RFC 5545).
    """
    for quarters in range(60, -61, -1):  # The largest offset gives the earliest instant.
        instant = (wanted - quarters * timedelta(minutes=15)).replace(tzinfo=UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wanted:
            return instant
    earlier = (wanted - DAY).replace(tzinfo=zone).utcoffset()
    assert earlier is not None
    return (wanted - earlier).replace(tzinfo=UTC)


def slow_person(plan: Plan, at: datetime) -> int | None:
    """Return the person on call at `at`, found by reading the schedule day by day from its beginning."""
    person = None
    for one in plan.rotations:
        found = slow_rotation(one, at)
        if found is not None:
            person = found
            break
    for override in plan.overrides:
        if override.starts_at <= at < override.ends_at and override.instead_of in (None, person):
            person = override.person
    return person


def slow_rotation(one: Rotation, at: datetime) -> int | None:
    turns, day, months = 0, one.first_day, 0
    while as_utc(datetime.combine(day, one.handover_at), one.zone) <= at:
        turns += 1
        if one.unit is TurnUnit.MONTH:
            months += one.every
            year, month = divmod(one.first_day.month - 1 + months, 12)
            last = date(one.first_day.year + year, month + 1, 28)
            while (last + DAY).month == month + 1:
                last += DAY
            day = last.replace(day=min(one.first_day.day, last.day))
        else:
            day += one.every * (DAY if one.unit is TurnUnit.DAY else 7 * DAY)
    if not turns or not one.people:
        return None
    starts_at, ends_at = one.hours or (time(0), time(0))
    today = at.astimezone(one.zone).date()
    if one.hours or one.weekdays != EVERY_DAY:
        for begins in (today - DAY, today):
            ends = begins if ends_at > starts_at else begins + DAY
            if begins.isoweekday() in one.weekdays and (
                as_utc(datetime.combine(begins, starts_at), one.zone)
                <= at
                < as_utc(datetime.combine(ends, ends_at), one.zone)
            ):
                break
        else:
            return None
    return one.people[(turns - 1) % len(one.people)]


@settings(deadline=None, max_examples=150)
@given(plan=plans(), offsets=st.lists(OFFSETS, min_size=1, max_size=8))
def test_at_every_instant_only_the_scheduled_person_is_on_call(
    plan: Plan, offsets: list[int]
) -> None:
    until = START + 60 * DAY
    shifts = shifts_between(plan, START, until)

    assert [shift.starts_at for shift in shifts[1:]] == [shift.ends_at for shift in shifts[:-1]]
    assert (shifts[0].starts_at, shifts[-1].ends_at) == (START, until)
    assert all(one.duty != next.duty for one, next in pairwise(shifts))
    instants = [START + offset * MINUTE for offset in offsets]
    edges = [shift.starts_at for shift in shifts[1:9]]
    for at in [*instants, *edges, *(edge - timedelta(seconds=1) for edge in edges)]:
        if not START <= at < until:
            continue
        expected = slow_person(plan, at)
        assert person(plan, at) == expected
        (shift,) = [one for one in shifts if one.starts_at <= at < one.ends_at]
        assert (shift.duty.person if shift.duty else None) == expected


@settings(deadline=None, max_examples=100)
@given(plan=plans(), offset=OFFSETS, hours=st.integers(0, 1000))
def test_a_shift_is_the_same_in_every_period_that_it_overlaps(
    plan: Plan, offset: int, hours: int
) -> None:
    since = START + offset * MINUTE
    until = since + hours * HOUR + MINUTE
    everything = shifts_between(plan, START - 30 * DAY, until + LOOK_AHEAD)

    shifts = whole_shifts(plan, since, until)

    expected = [one for one in everything if one.starts_at < until and one.ends_at > since]
    if expected[0].duty is None:  # A gap before the schedule begins has no start.
        expected, shifts = expected[1:], shifts[1:]
    assert shifts == expected


def test_a_shift_that_never_ends_starts_at_the_first_handover() -> None:
    plan = Plan((rotation(people=(ANN,)),))
    since = berlin(2031, 3, 2, 12)

    [shift] = whole_shifts(plan, since, since + DAY)

    assert shift.starts_at == berlin(2026, 3, 2, 9)
    assert whole_shifts(Plan(()), since, since + DAY)[0].duty is None


@given(plan=plans(), first=OFFSETS, second=OFFSETS)
@settings(deadline=None, max_examples=40)
def test_a_clock_that_steps_back_changes_nothing(plan: Plan, first: int, second: int) -> None:
    later = on_call_at(plan, START + first * MINUTE)

    on_call_at(plan, START + second * MINUTE)

    assert on_call_at(plan, START + first * MINUTE) == later


# --- calendars ------------------------------------------------------------------------------------------


def test_a_calendar_has_folded_lines_and_escaped_texts() -> None:
    at = datetime(2026, 3, 2, 8, tzinfo=UTC)
    name = "On call; Zoë, " + "ü" * 60
    text = write_calendar(name, [CalendarEvent("1@ops", at, at + HOUR, "a\nb\\c")], now=at)

    lines = text.split("\r\n")
    assert all(len(line.encode()) <= 75 for line in lines)
    assert "\n" not in text.replace("\r\n", "")
    assert f"X-WR-CALNAME:On call\\; Zoë\\, {'ü' * 60}" in text.replace("\r\n ", "")
    assert "SUMMARY:a\\nb\\\\c" in lines
    assert {"DTSTART:20260302T080000Z", "DTEND:20260302T090000Z", "UID:1@ops"} <= set(lines)
    assert (lines[0], lines[-2], lines[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR", "")
