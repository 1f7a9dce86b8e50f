"""PostgreSQL keeps events and payloads in one partition a day, so that forgetting a day is dropping a table."""

import re
from datetime import UTC, date, datetime, timedelta

from django.db import OperationalError, connection, transaction

from errors.models import received_id

TABLES = ("errors_errorevent", "errors_eventpayload")
_NAME = re.compile(r"errors_errorevent_(\d{8})")
_ready_days: set[date] = set()  # days this process has seen exist
# Whoever waits for an exclusive lock makes everybody wait who comes after: dropping a day waits no longer than this.
_LOCK_TIMEOUT_MS = 100
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for it


def is_partitioned() -> bool:
    return connection.vendor == "postgresql"


def _bounds(day: date) -> tuple[int, int]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return received_id(start), received_id(start + timedelta(days=1))


def is_ready(day: date) -> bool:
    """Whether this process has seen that the day needs nothing more."""
    return day in _ready_days or not is_partitioned()


def ensure(day: date) -> None:
    """Make the day's partitions if they are missing; runs inside the caller's transaction."""
    if is_ready(day):
        return
    start, end = _bounds(day)
    with connection.cursor() as cursor:
        # Two nodes at midnight: the second must see what the first made.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('errors.store.partitions'))")
        for table in TABLES:
            name = f"{table}_{day:%Y%m%d}"
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone() == (None,):
                # CREATE ... PARTITION OF would lock out everybody; attaching an empty table disturbs nobody.
                cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
                cursor.execute(
                    f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
                )


def mark_ready(day: date) -> None:
    """The transaction that ensured the day has committed."""
    if len(_ready_days) > 100:
        _ready_days.clear()
    _ready_days.add(day)


def clear_ready_days() -> None:
    """After a failure nothing is taken for granted."""
    _ready_days.clear()


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


def drop(day: date) -> bool:
    """Forget the day's events and payloads at once. What SeenEvent knows of them must be removed before.

    False: another transaction has been reading for long, a backup for example; the next run may have more luck.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            for table in TABLES:
                cursor.execute(f"DROP TABLE IF EXISTS {table}_{day:%Y%m%d}")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            return False
        raise
    _ready_days.discard(day)
    return True
