"""Choose the roll-ups and the length of slots for a period. All functions are pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from health.models import Tier


@dataclass(frozen=True)
class Resolution:
    """The tier of the roll-ups that a chart reads, and the length of its slots."""

    tier: Tier
    slot: timedelta

    def floor(self, timestamp: datetime) -> datetime:
        """Return the start of the slot that contains `timestamp`."""
        size = self.slot.total_seconds()
        return datetime.fromtimestamp(timestamp.timestamp() // size * size, tz=timestamp.tzinfo)

    def slots(self, since: datetime, until: datetime) -> list[datetime]:
        start, found = self.floor(since), []
        while start < until:
            found.append(start)
            start += self.slot
        return found


def resolution_for(span: timedelta) -> Resolution:
    """Return the resolution for a chart of durations."""
    if span <= timedelta(hours=2):
        return Resolution(Tier.MINUTE, timedelta(minutes=1))
    if span <= timedelta(hours=24):
        return Resolution(Tier.MINUTE, timedelta(minutes=15))
    if span <= timedelta(days=8):
        return Resolution(Tier.HOUR, timedelta(hours=1))
    if span <= timedelta(days=31):
        return Resolution(Tier.HOUR, timedelta(hours=6))
    return Resolution(Tier.DAY, timedelta(days=1))


def value_resolution_for(span: timedelta) -> Resolution:
    """Return the resolution for a chart of counters or gauges.

    The slots are longer than in a chart of durations, because many more series are read.
    """
    if span <= timedelta(hours=2):
        return Resolution(Tier.MINUTE, timedelta(minutes=1))
    if span <= timedelta(days=8):
        return Resolution(Tier.HOUR, timedelta(hours=1))
    return Resolution(Tier.DAY, timedelta(days=1))


@dataclass(frozen=True)
class Period:
    """The points of one tier that start at `since` or later and before `until`."""

    tier: Tier
    since: datetime
    until: datetime


def periods_for(since: datetime, until: datetime) -> list[Period]:
    """Return the periods whose points add up to the total from `since` to `until`, with few points.

    A total includes the whole first and last minute or, if it is longer than 3 h, hour. This can lengthen a period just
    over 3 h by up to two thirds. A total of more than 8 days includes the whole first and last day.
    """
    span = until - since
    if span > timedelta(days=8):
        return [Period(Tier.DAY, Tier.DAY.floor(since), until)]
    if span <= timedelta(hours=3):
        return [Period(Tier.MINUTE, Tier.MINUTE.floor(since), until)]
    start = Tier.HOUR.floor(since)
    first_midnight = Tier.DAY.floor(start + timedelta(days=1, microseconds=-1))
    last_midnight = Tier.DAY.floor(until)
    if first_midnight >= last_midnight:
        return [Period(Tier.HOUR, start, until)]
    found = [
        Period(Tier.HOUR, start, first_midnight),
        Period(Tier.DAY, first_midnight, last_midnight),
        Period(Tier.HOUR, last_midnight, until),
    ]
    return [period for period in found if period.since < period.until]
