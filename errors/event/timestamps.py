"""Parse and check the timestamps that clients send."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

_FRACTION = re.compile(r"(\.\d{6})\d+")
MIN_CORRECTED_DRIFT = timedelta(minutes=55)
MAX_FUTURE = timedelta(seconds=60)
MAX_AGE = timedelta(days=30)


def parse(value: Any) -> datetime | None:
    """Parse an RFC 3339 timestamp, or seconds since 1970 as a number or a string. Return None for anything else.

    A timestamp without a time zone counts as UTC.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            timestamp = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                return None
        else:
            try:
                return (
                    timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
                )
            except OverflowError:
                return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def clock_drift(sent_at: datetime | None, received_at: datetime) -> timedelta:
    """Return the lag of the client's clock behind the portal's, or zero if it is unknown or may be network delay."""
    if sent_at is None:
        return timedelta(0)
    difference = received_at - sent_at
    return difference if abs(difference) >= MIN_CORRECTED_DRIFT else timedelta(0)


def is_plausible(timestamp: datetime, received_at: datetime) -> bool:
    return received_at - MAX_AGE <= timestamp <= received_at + MAX_FUTURE


def parse_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
