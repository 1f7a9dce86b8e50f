"""Commit without waiting for the disk if a write may be lost, and wait for the replication of earlier commits."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

SYNCHRONOUS_NORMAL = 1  # https://www.sqlite.org/pragma.html#pragma_synchronous

# Every user may call pg_logical_emit_message(), which does not require logical replication.
_WRITE_RECORD = """
    SELECT pg_logical_emit_message(true, 'opsportal', '') WHERE current_setting('synchronous_standby_names') <> ''
"""


@contextmanager
def relaxed_durability() -> Iterator[None]:
    """Commit a transaction without waiting until it is on the disk. Other connections see it immediately.

    A crash of the process loses nothing; a power failure may lose the transaction. Inside another transaction this does
    nothing, because the outer commit decides.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            [previous] = cursor.fetchone()
            # In WAL mode, NORMAL does not sync at a commit. The next FULL commit or checkpoint also syncs these writes.
            cursor.execute(f"PRAGMA synchronous={min(previous, SYNCHRONOUS_NORMAL)}")
            try:
                with transaction.atomic():
                    yield
            finally:
                cursor.execute(f"PRAGMA synchronous={previous}")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit = off")
            yield


def ensure_replicated() -> None:
    """Return once all rows that are visible now are on the synchronous standby, if PostgreSQL has one.

    Views call this function before they answer a repeated request whose rows exist. The first request's commit may be
    visible on the primary although no standby confirmed it and that request failed (core.lib.postgresql.driver). This
    function writes a small record to the WAL and waits until the standby confirms it. Raises OperationalError if no
    standby does.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_WRITE_RECORD)
