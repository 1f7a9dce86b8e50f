"""Determine who is on call from the rotations and overrides of a schedule, without a database.

The first rotation whose hours include a given time determines the person. Overrides then replace this person; if
several apply, the newest one is used. All wall-clock times are in the time zone of their rotation, so a handover at
09:00 stays at 09:00 when daylight saving time begins or ends.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from alerts.wall_clock import to_instant

MIDNIGHT = time(0)
# The search for the end of the current shift stops here, because a shift may never end.
LOOK_AHEAD = timedelta(days=60)
EVERY_DAY = frozenset(range(1, 8))


class TurnUnit(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Rotation:
    """People who take turns.

    The first turn begins on `first_day` at `handover_at`. Until then, the rotation puts no one on call.
    """

    id: int
    people: tuple[int, ...]
    first_day: date
    handover_at: time
    zone: ZoneInfo
    unit: TurnUnit
    every: int = 1  # The length of a turn in units.
    # None means all day. (22:00, 06:00) means from 22:00 to 06:00 on the next day.
    hours: tuple[time, time] | None = None
    weekdays: frozenset[int] = EVERY_DAY  # Weekdays on which the hours begin; 1 is Monday.

    def person_at(self, at: datetime) -> int | None:
        if not self.people or at < self.handover(0) or not self.covers(at):
            return None
        return self.people[self.turn_at(at) % len(self.people)]

    def handover(self, number: int) -> datetime:
        """Return the start of the turn with this number, where 0 is the first turn.

        If a month is too short for the day of the first turn, the turn starts on the last day of the month.
        """
        count = number * self.every
        match self.unit:
            case TurnUnit.DAY:
                day = self.first_day + timedelta(days=count)
            case TurnUnit.WEEK:
                day = self.first_day + timedelta(weeks=count)
            case TurnUnit.MONTH:
                day = _add_months(self.first_day, count)
        return to_instant(day, self.handover_at, self.zone)

    def turn_at(self, at: datetime) -> int:
        """Return the number of the turn at the time `at`, which must not be before the first turn."""
        day = at.astimezone(self.zone).date()
        if self.unit is TurnUnit.MONTH:
            passed = (day.year - self.first_day.year) * 12 + day.month - self.first_day.month
        else:
            passed = (day - self.first_day).days // (7 if self.unit is TurnUnit.WEEK else 1)
        number = passed // self.every
        while self.handover(number) > at:
            number -= 1
        while self.handover(number + 1) <= at:
            number += 1
        return number

    def covers(self, at: datetime) -> bool:
        """Return True if the time is within the hours and weekdays of the rotation."""
        if self._is_unrestricted:
            return True
        return any(starts <= at < ends for starts, ends in self._windows(at, at))

    def boundaries(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Yield each time from `since` to `until` at which the on-call person may change, and possibly other times."""
        first = self.handover(0)
        if not self.people or first >= until:
            return
        for number in range(self.turn_at(max(since, first)), self.turn_at(until) + 1):
            yield self.handover(number)
        if not self._is_unrestricted:
            for window in self._windows(since, until):
                yield from window

    @property
    def _is_unrestricted(self) -> bool:
        return self.hours is None and self.weekdays == EVERY_DAY

    def _windows(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the start and end of the hours on each day from `since` to `until`, and on the day before `since`."""
        starts_at, ends_at = self.hours or (MIDNIGHT, MIDNIGHT)
        day = since.astimezone(self.zone).date() - timedelta(days=1)
        last = until.astimezone(self.zone).date()
        while day <= last:
            if day.isoweekday() in self.weekdays:
                end_day = day if ends_at > starts_at else day + timedelta(days=1)
                yield (
                    to_instant(day, starts_at, self.zone),
                    to_instant(end_day, ends_at, self.zone),
                )
            day += timedelta(days=1)


@dataclass(frozen=True)
class Override:
    """A person who takes over for a time, either from everyone or only from `instead_of`."""

    id: int
    person: int
    starts_at: datetime
    ends_at: datetime
    instead_of: int | None = None


@dataclass(frozen=True)
class Plan:
    """The rotations of a schedule in order of precedence, and its overrides, oldest first."""

    rotations: tuple[Rotation, ...]
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True)
class Duty:
    """The person on call at a time, and the rotation or override that put this person on call."""

    person: int
    rotation: int | None = None
    override: int | None = None


@dataclass(frozen=True)
class Shift:
    """A continuous period in which one person is on call through one rotation or override, or no one is on call."""

    starts_at: datetime
    ends_at: datetime
    duty: Duty | None  # None in a gap, when no one is on call.


def on_call_at(plan: Plan, at: datetime) -> Duty | None:
    """Return the person on call at a time, or None in a gap."""
    duty = None
    for rotation in plan.rotations:
        person = rotation.person_at(at)
        if person is not None:
            duty = Duty(person, rotation=rotation.id)
            break
    for override in plan.overrides:
        if override.starts_at <= at < override.ends_at and (
            override.instead_of is None or (duty and duty.person == override.instead_of)
        ):
            duty = Duty(override.person, override=override.id)
    return duty


def shifts_between(plan: Plan, since: datetime, until: datetime) -> list[Shift]:
    """Return the shifts and gaps from `since` to `until` in order. Together, they cover the whole period."""
    instants = {since}
    for rotation in plan.rotations:
        instants.update(rotation.boundaries(since, until))
    for override in plan.overrides:
        instants.update((override.starts_at, override.ends_at))
    starts = sorted(at for at in instants if since <= at < until)
    shifts: list[Shift] = []
    for starts_at, ends_at in zip(starts, [*starts[1:], until], strict=False):
        duty = on_call_at(plan, starts_at)
        if shifts and shifts[-1].duty == duty:
            shifts[-1] = Shift(shifts[-1].starts_at, ends_at, duty)
        else:
            shifts.append(Shift(starts_at, ends_at, duty))
    return shifts


def whole_shifts(plan: Plan, since: datetime, until: datetime) -> list[Shift]:
    """Return the shifts and gaps that overlap the period, with their start and end outside the period.

    The start of a shift does not depend on the period. The end does only if it is more than LOOK_AHEAD after `until`.
    """
    beginnings = [rotation.handover(0) for rotation in plan.rotations]
    beginnings += [override.starts_at for override in plan.overrides]
    beginning = min(beginnings, default=since)
    look_back = LOOK_AHEAD
    while True:
        shifts = shifts_between(plan, since - look_back, until + LOOK_AHEAD)
        # The first shift may have started earlier, unless the schedule had not begun.
        if shifts[0].ends_at <= since or since - look_back < beginning:
            return [one for one in shifts if one.starts_at < until and one.ends_at > since]
        look_back *= 2


def _add_months(day: date, count: int) -> date:
    months = day.year * 12 + day.month - 1 + count
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
