"""PostgreSQL keeps events and payloads in one partition a day, so that forgetting a day is dropping a table."""

import re
from datetime import UTC, date, datetime, timedelta

from django.db import connection

from errors.models import received_id

TABLES = ("errors_errorevent", "errors_eventpayload")
_NAME = re.compile(r"errors_errorevent_(\d{8})")
_made: set[date] = set()  # days this process has seen exist


def is_partitioned() -> bool:
    return connection.vendor == "postgresql"


def _bounds(day: date) -> tuple[int, int]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return received_id(start), received_id(start + timedelta(days=1))


def ensure(day: date) -> None:
    """Make the day's partitions if they are missing; runs inside the caller's transaction."""
    if day in _made or not is_partitioned():
        return
    start, end = _bounds(day)
    with connection.cursor() as cursor:
        # Two nodes at midnight: IF NOT EXISTS alone would let the second fail.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('errors.partitions'))")
        for table in TABLES:
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {table}_{day:%Y%m%d} PARTITION OF {table}"
                f" FOR VALUES FROM ({start}) TO ({end})"
            )


def remember(day: date) -> None:
    """The transaction that ensured the day has committed."""
    if len(_made) > 100:
        _made.clear()
    _made.add(day)


def forget() -> None:
    """After a failure nothing is taken for granted."""
    _made.clear()


def days() -> list[date]:
    """Which days there are partitions for, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'errors_errorevent'::regclass ORDER BY c.relname"
        )
        found = [_NAME.fullmatch(name) for (name,) in cursor.fetchall()]
    return [
        datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date() for match in found if match
    ]


def drop(day: date) -> None:
    """Forget the day's events and payloads at once. What SeenEvent knows of them must be removed before."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {table}_{day:%Y%m%d}")
    _made.discard(day)
