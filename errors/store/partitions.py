"""Maintain daily partitions of events and payloads on PostgreSQL, so that a day is deleted by dropping tables."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction

from errors.models import received_id

TABLES = ("errors_errorevent", "errors_eventpayload")
_NAME = re.compile(r"errors_errorevent_(\d{8})")
_ready_days: set[date] = set()  # The partitions of these days are known to exist.
# While DROP TABLE waits for its exclusive lock, it blocks all
# later statements on the table, so the wait must be short.
_LOCK_TIMEOUT_MS = 100
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE for a lock timeout.


def is_partitioned() -> bool:
    return connection.vendor == "postgresql"


def ids_of(day: date) -> tuple[int, int]:
    """Return the smallest event id of the day (UTC) and the smallest event id of the next day."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return received_id(start), received_id(start + timedelta(days=1))


def is_ready(day: date) -> bool:
    """Return True if the day's partitions are known to exist, or if the database needs none."""
    return day in _ready_days or not is_partitioned()


def ensure(day: date) -> None:
    """Create the day's partitions if they are missing. Runs inside the caller's transaction."""
    if is_ready(day):
        return
    with connection.cursor() as cursor:
        # Several nodes may create partitions at midnight. The lock makes each of them wait until it can see the tables
        # that another node created.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('errors.store.partitions'))")
        create(cursor, day)


def create(cursor: Any, day: date) -> None:
    """Create the missing partitions of the day in the cursor's database. The caller must prevent concurrent calls."""
    start, end = ids_of(day)
    for table in TABLES:
        name = f"{table}_{day:%Y%m%d}"
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone() == (None,):
            # CREATE TABLE … PARTITION OF would lock the parent exclusively; attaching an empty table does not.
            cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
            cursor.execute(
                f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
            )


def mark_ready(day: date) -> None:
    """Cache that the day's partitions exist. Call this after the transaction that called `ensure` has committed."""
    if len(_ready_days) > 100:
        _ready_days.clear()
    _ready_days.add(day)


def clear_ready_days() -> None:
    """Make the next batches check again whether their partitions exist, because a failed batch may have lacked one."""
    _ready_days.clear()


def days() -> list[date]:
    """Return the days that have partitions, oldest first."""
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
    """Drop the day's events and payloads. The caller must have deleted their SeenEvent rows.

    Returns False if a long-running transaction, for example a backup, holds a lock; the caller should retry later.
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
