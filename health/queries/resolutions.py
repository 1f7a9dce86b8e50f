"""Which roll-ups a time span is read from, and in slots of which length it is drawn."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from health.models import Tier


@dataclass(frozen=True)
class Resolution:
    """How a span is drawn: from which points, in slots of which length."""

    tier: Tier
    slot: timedelta

    def floor(self, moment: datetime) -> datetime:
        size = self.slot.total_seconds()
        return datetime.fromtimestamp(moment.timestamp() // size * size, tz=moment.tzinfo)

    def slots(self, since: datetime, until: datetime) -> list[datetime]:
        start, found = self.floor(since), []
        while start < until:
            found.append(start)
            start += self.slot
        return found


def resolution_for(span: timedelta) -> Resolution:
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
    """Coarser: there are many series of values, and their charts are bars and levels."""
    if span <= timedelta(hours=2):
        return Resolution(Tier.MINUTE, timedelta(minutes=1))
    if span <= timedelta(days=8):
        return Resolution(Tier.HOUR, timedelta(hours=1))
    return Resolution(Tier.DAY, timedelta(days=1))


def tier_for(span: timedelta) -> Tier:
    """Points fine enough that the ends of `span` hardly matter, and few: what sums are made of."""
    if span <= timedelta(hours=3):
        return Tier.MINUTE
    return Tier.HOUR if span <= timedelta(days=8) else Tier.DAY
