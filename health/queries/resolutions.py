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


def tier_for(span: timedelta) -> Tier:
    """Return the tier of the roll-ups for totals over `span`. The tier limits the number of rows to read.

    Totals include the whole first minute, hour or day, which can lengthen a period just over 3 h by up to a third.
    """
    if span <= timedelta(hours=3):
        return Tier.MINUTE
    return Tier.HOUR if span <= timedelta(days=8) else Tier.DAY
