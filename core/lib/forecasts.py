"""Forecast when a level will reach a limit, as a range, from its past values. All functions are pure.

The past is divided into equal parts, and the differences between the parts show how steady the change is. If the range
of rates includes both rising and falling, there is no date.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.lib.formats import quantity, span

Points = Sequence[tuple[datetime, float]]  # Points in ascending order of time.

PARTS = 6
# A forecast needs values in at least this many of the PARTS into which the past is divided.
MIN_PARTS = 5
# The range of rates extends this many standard errors to each side of the mean rate, which covers about 90 %.
DEVIATIONS = 2.0
# A past period is preferred to longer ones if its forecast date is within this many times its length.
NEAR = 2.0
FAR = 12.0  # A past period is not extrapolated further than this many times its length.
HORIZON = timedelta(days=365)


class Outlook(StrEnum):
    REACHED = "reached"
    EXPECTED = "expected"
    UNCLEAR = "unclear"  # The level changes, but not steadily enough for a date.
    # The level does not approach the limit, or not within the time that can be forecast.
    NOT_IN_SIGHT = "not in sight"
    # The recorded values cover too short a time, are too old, or are too few.
    NO_DATA = "no data"


@dataclass(frozen=True)
class Trend:
    """A forecast of when a level reaches its limit.

    `basis` is the length of the past period that is extrapolated, and `rate` the level's change per day in this period.
    """

    outlook: Outlook
    now: datetime
    level: float | None = None
    rate: float = 0.0
    basis: timedelta = timedelta(0)
    earliest: datetime | None = None
    latest: datetime | None = None
    # The limit is not reached before this time, or never if it is None. Only set if the outlook is NOT_IN_SIGHT.
    until: datetime | None = None

    @property
    def text(self) -> str:
        """Return the forecast in words, such as "in 2 to 4 weeks" or "not within 12 days"."""
        match self.outlook:
            case Outlook.REACHED:
                return "now"
            case Outlook.EXPECTED:
                assert self.earliest
                assert self.latest
                return f"in {spell_range(self.earliest - self.now, self.latest - self.now)}"
            case Outlook.UNCLEAR:
                assert self.earliest
                return f"no clear trend, at the earliest in {spell(self.earliest - self.now)}"
            case Outlook.NOT_IN_SIGHT:
                if self.until is None:
                    return "not at this pace"
                return f"not within {spell(self.until - self.now)}"
        return "not enough data"


def forecast(
    points: Points,
    *,
    limit: float,
    now: datetime,
    bases: Sequence[timedelta],
    is_falling: bool = False,
    deadline: datetime | None = None,
) -> Trend:
    """Return when the level reaches the limit, by rising or, if `is_falling`, by falling.

    `bases` are the lengths of past periods to extrapolate, the shortest first. The first basis whose forecast is within
    NEAR times its length is used, because the near future depends most on the recent pace. If there is none, the
    longest basis that yields a date is used or, without such a basis, the longest one that the points cover. A limit
    reached after `deadline` is ignored.
    """
    sign = -1 if is_falling else 1
    signed = [(at, sign * value) for at, value in points if at <= now]
    found = Trend(Outlook.NO_DATA, now, level=sign * signed[-1][1] if signed else None)
    if signed and signed[-1][1] >= sign * limit:
        return Trend(Outlook.REACHED, now, level=sign * signed[-1][1])
    for basis in bases:
        recent = [point for point in signed if point[0] >= now - basis]
        trend = _extrapolate(recent, sign * limit, now, basis, deadline)
        if trend is None:
            continue
        if found.outlook is Outlook.EXPECTED and trend.outlook is not Outlook.EXPECTED:
            continue  # Over this longer basis, the pace was not steady.
        found = Trend(
            trend.outlook, now, sign * signed[-1][1], sign * trend.rate, trend.basis,
            trend.earliest, trend.latest, trend.until,
        )  # fmt: skip
        is_near = trend.latest is not None and trend.latest - now <= NEAR * trend.basis
        if trend.outlook is Outlook.EXPECTED and is_near:
            break
        if len(recent) == len(signed):
            break  # A longer basis would contain the same points.
    return found


def _extrapolate(
    points: Points, limit: float, now: datetime, basis: timedelta, deadline: datetime | None
) -> Trend | None:
    """Return the forecast of a rising level, or None if the points do not suffice (see `_levels`)."""
    levels = _levels(points, now, basis)
    if len(levels) < MIN_PARTS:
        return None
    span = points[-1][0] - points[0][0]
    rates = [
        (after - before) / ((at_after - at_before) / timedelta(days=1))
        for (at_before, before), (at_after, after) in itertools.pairwise(levels)
    ]
    rate = statistics.fmean(rates)
    error = DEVIATIONS * statistics.stdev(rates) / math.sqrt(len(rates))
    until = min(one for one in (now + FAR * span, now + HORIZON, deadline) if one)
    left = limit - points[-1][1]
    earliest, latest = _reached(left, rate + error, now), _reached(left, rate - error, now)
    if rate <= 0:
        return Trend(Outlook.NOT_IN_SIGHT, now, rate=rate, basis=span)
    if latest is None:  # The level does not clearly rise, so the far future cannot be forecast.
        until = min(until, now + NEAR * span)
    if earliest is None or earliest > until:
        return Trend(Outlook.NOT_IN_SIGHT, now, rate=rate, basis=span, until=until)
    if latest is None:
        return Trend(Outlook.UNCLEAR, now, rate=rate, basis=span, earliest=earliest)
    expected = _reached(left, rate, now)
    if expected is None or expected > until:
        return Trend(Outlook.NOT_IN_SIGHT, now, rate=rate, basis=span, until=until)
    return Trend(Outlook.EXPECTED, now, rate=rate, basis=span, earliest=earliest, latest=latest)


def _levels(points: Points, now: datetime, basis: timedelta) -> list[tuple[datetime, float]]:
    """Return the mean time and the median level of each part of the points. A median ignores single outliers.

    Return [] if the points are too few, too old, or cover less than half of the basis.
    """
    if len(points) < MIN_PARTS or points[-1][0] < now - basis / PARTS:
        return []
    first, length = points[0][0], (points[-1][0] - points[0][0]) / PARTS
    if not length or PARTS * length < basis / 2:
        return []
    parts: dict[int, list[tuple[datetime, float]]] = {}
    for at, value in points:
        parts.setdefault(min(PARTS - 1, int((at - first) / length)), []).append((at, value))
    return [
        (
            datetime.fromtimestamp(
                statistics.fmean(at.timestamp() for at, _ in part), tz=now.tzinfo
            ),
            statistics.median(value for _, value in part),
        )
        for _, part in sorted(parts.items())
    ]


def _reached(left: float, rate: float, now: datetime) -> datetime | None:
    """Return when a change of `rate` per day will have reached `left`, or None if never or beyond ten HORIZONs."""
    if rate <= 0 or left / rate > 10 * HORIZON.days:
        return None
    return now + timedelta(days=left / rate)


_UNITS = (
    # Each entry has a unit, its length, and the longest duration that is written in this unit.
    ("min", timedelta(minutes=1), timedelta(minutes=90)),
    ("hour", timedelta(hours=1), timedelta(hours=48)),
    ("day", timedelta(days=1), timedelta(days=21)),
    ("week", timedelta(weeks=1), timedelta(days=100)),
    ("month", timedelta(days=30.4), timedelta.max),
)


def spell(duration: timedelta) -> str:
    """Return a duration in one rounded unit, such as "about 40 min" or "about 3 weeks"."""
    unit, length = _unit(duration)
    return f"about {_count(_rounded(duration, unit, length), unit)}"


def spell_range(low: timedelta, high: timedelta) -> str:
    """Return a range in one rounded unit: "2 to 4 weeks", or "about 3 weeks" if both ends round to the same number."""
    unit, length = _unit(high)
    first, last = _rounded(low, unit, length), _rounded(high, unit, length)
    if first == last:
        return f"about {_count(last, unit)}"
    return f"{first} to {_count(last, unit)}"


def _unit(duration: timedelta) -> tuple[str, timedelta]:
    return next((name, length) for name, length, most in _UNITS if duration <= most)


def _rounded(duration: timedelta, unit: str, length: timedelta) -> int:
    count = duration / length
    if unit == "min":
        return max(5, 5 * round(count / 5))
    return max(1, round(count))


def _count(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 or unit == 'min' else 's'}"


def pace(trend: Trend, unit: str, *, per: str = "day") -> str:
    """Return a forecast's pace in words, such as "falling by 13 tasks an hour in the last 59 min"."""
    if not trend.basis:
        return ""
    changed = pace_quantity(trend.rate / 24 if per == "hour" else trend.rate, unit)
    since = f"in the last {span(trend.basis)}"
    if changed.startswith("0 "):
        return f"steady {since}"
    up, down = ("growing", "shrinking") if unit == "bytes" else ("rising", "falling")
    return f"{up if trend.rate > 0 else down} by {changed} {'an' if per == 'hour' else 'a'} {per} {since}"


def pace_quantity(rate: float, unit: str) -> str:
    """Return a rate without its sign: "13 tasks", "1 task", "0.4 tasks". Only rates below 10 have a decimal."""
    size = abs(rate)
    return quantity(size if unit == "bytes" else round(size, 1 if size < 10 else None), unit)


def backlog_course(
    spans: Iterable[tuple[datetime, datetime | None]], *, now: datetime, length: timedelta
) -> list[tuple[datetime, float]]:
    """Return how many items were waiting at each minute before `now`. `spans` are the start and end of each wait."""
    minutes = int(length / timedelta(minutes=1))
    first = now - minutes * timedelta(minutes=1)
    changes = [0] * (minutes + 2)
    for began_at, ended_at in spans:
        changes[_place(began_at, first, minutes)] += 1
        if ended_at is not None and ended_at <= now:
            changes[_place(ended_at, first, minutes)] -= 1
    waiting, course = 0, []
    for place in range(minutes + 1):
        waiting += changes[place]
        course.append((first + place * timedelta(minutes=1), float(waiting)))
    return course


def _place(at: datetime, first: datetime, minutes: int) -> int:
    return min(max(0, math.ceil((at - first) / timedelta(minutes=1))), minutes)


@dataclass(frozen=True)
class Forecast:
    """A trend with its title, basis and link, ready to display."""

    title: str  # A title such as "Disk full".
    trend: Trend
    # A phrase such as "growing by 82 MB a day in the last 7 d; 1.2 GB of 10 GB used".
    basis: str
    url: str = ""
    words: str = ""  # If not empty, this text replaces the words of the trend.

    @property
    def text(self) -> str:
        return self.words or self.trend.text

    @property
    def has_data(self) -> bool:
        return bool(self.words) or self.trend.outlook is not Outlook.NO_DATA

    @property
    def tone(self) -> str:
        """Return "critical" if the limit is reached, "warning" if it may be within a week, or ""."""
        if self.trend.outlook is Outlook.REACHED:
            return "critical"
        soon = self.trend.earliest is not None and self.trend.earliest - self.trend.now < timedelta(
            days=7
        )
        return "warning" if self.trend.outlook is Outlook.EXPECTED and soon else ""


_RANK = {
    Outlook.REACHED: 0,
    Outlook.EXPECTED: 1,
    Outlook.UNCLEAR: 2,
    Outlook.NOT_IN_SIGHT: 3,
    Outlook.NO_DATA: 4,
}


def soonest_key(trend: Trend) -> tuple[int, datetime]:
    """Return the sort key of a forecast: the limit that is reached first comes first, and missing dates come last."""
    return _RANK[trend.outlook], trend.earliest or trend.now


def soonest_first(forecasts: Iterable[Forecast]) -> list[Forecast]:
    return sorted(forecasts, key=lambda one: (*soonest_key(one.trend), one.title))
