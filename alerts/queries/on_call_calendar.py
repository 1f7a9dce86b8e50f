"""Show the coming weeks of an on-call schedule as a calendar, with a cell per day in the schedule's time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from alerts.models import Schedule
from alerts.queries.on_call import NamedShift, list_shifts
from alerts.wall_clock import to_instant

WEEKS = 5
COLORS = 6  # The style sheet defines this many colors for people.


@dataclass(frozen=True)
class Entry:
    """A shift or gap on one day. `starts` and `ends` are empty where it extends to the start or end of the day."""

    name: str  # Empty for a gap.
    starts: str
    ends: str
    tone: str
    reason: str
    is_override: bool
    shift: NamedShift

    @property
    def override_query(self) -> str:
        """Return a query string that fills the form for an override with the times of the shift."""
        times = {"starts_at": self.shift.starts_at, "ends_at": self.shift.ends_at}
        return "?" + urlencode({name: at.isoformat() for name, at in times.items()})

    @property
    def times(self) -> str:
        if self.starts and self.ends:
            return f"{self.starts} to {self.ends}"
        return f"from {self.starts}" if self.starts else f"until {self.ends}" if self.ends else ""


@dataclass(frozen=True)
class Day:
    date: date
    is_today: bool
    is_past: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Calendar:
    weeks: tuple[tuple[Day, ...], ...]
    gaps: tuple[NamedShift, ...]  # Contains only gaps that have not ended.


def build_calendar(schedule: Schedule, *, now: datetime, weeks: int = WEEKS) -> Calendar:
    """Return the calendar, starting on Monday of the current week."""
    zone = schedule.zone
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    days = [monday + timedelta(days=number) for number in range(weeks * 7 + 1)]
    midnights = [to_instant(day, time(0), zone) for day in days]
    shifts = list_shifts(schedule, midnights[0], midnights[-1])
    tones: dict[int, str] = {}
    for shift in shifts:
        if shift.person is not None:
            tones.setdefault(shift.person.pk, f"is-person-{len(tones) % COLORS + 1}")
    cells = [
        Day(
            day,
            is_today=day == today,
            is_past=day < today,
            entries=tuple(
                _build_entry(shift, starts_at, ends_at, tones, schedule)
                for shift in shifts
                if shift.starts_at < ends_at and shift.ends_at > starts_at
            ),
        )
        for day, starts_at, ends_at in zip(days, midnights, midnights[1:], strict=False)
    ]
    return Calendar(
        weeks=tuple(tuple(cells[start : start + 7]) for start in range(0, len(cells), 7)),
        gaps=tuple(
            shift
            for shift in shifts
            if shift.person is None and shift.ends_at > now.astimezone(UTC)
        ),
    )


def _build_entry(
    shift: NamedShift,
    day_starts_at: datetime,
    day_ends_at: datetime,
    tones: dict[int, str],
    schedule: Schedule,
) -> Entry:
    def clock(at: datetime) -> str:
        return f"{at.astimezone(schedule.zone):%H:%M}"

    return Entry(
        name=str(shift.person) if shift.person else "",
        starts=clock(shift.starts_at) if shift.starts_at > day_starts_at else "",
        ends=clock(shift.ends_at) if shift.ends_at < day_ends_at else "",
        tone=tones[shift.person.pk] if shift.person else "is-gap",
        reason=shift.reason,
        is_override=shift.override is not None,
        shift=shift,
    )
