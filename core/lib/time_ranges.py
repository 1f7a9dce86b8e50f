"""Define the time ranges that charts offer, with their keys and labels (buttons: templates/portal/_ranges.html)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

PARAMETER = "range"
_LENGTHS = {
    "1h": ("1 h", timedelta(hours=1)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
}
KEYS = tuple(_LENGTHS)
WITHOUT_HOUR = KEYS[1:]  # For charts with hourly counts, which show too little in an hour.


@dataclass(frozen=True)
class TimeRange:
    key: str
    label: str
    length: timedelta
    is_current: bool = False


def time_range(key: str) -> TimeRange:
    return TimeRange(key, *_LENGTHS[key], is_current=True)


def buttons(current: TimeRange, keys: Iterable[str] = KEYS) -> list[TimeRange]:
    return [TimeRange(key, *_LENGTHS[key], is_current=key == current.key) for key in keys]


def choose(asked: str, default: str, keys: Iterable[str] = KEYS) -> TimeRange:
    """Return the range with the key `asked`, or with the key `default` if `asked` is not among `keys`."""
    return time_range(asked if asked in tuple(keys) else default)


def shortest_with(newest_at: datetime | None, *, now: datetime, keys: Iterable[str] = KEYS) -> str:
    """Return the key of the shortest range that contains the newest data, or the first key if no range contains any."""
    keys = tuple(keys)
    if newest_at is None:
        return keys[0]
    return next((key for key in keys if now - newest_at < _LENGTHS[key][1]), keys[0])
