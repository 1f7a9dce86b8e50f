"""Convert wall-clock times, such as a handover at 09:00 in Europe/Berlin, to instants."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo


def to_instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Convert a wall-clock time to UTC.

    A time that does not exist because of daylight saving time is moved later by the length of the gap. If a time occurs
    twice, the first occurrence is used.
    """
    return datetime.combine(day, clock.replace(fold=0), zone).astimezone(UTC)
