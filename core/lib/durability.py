"""Commit without waiting for the disk, for writes that may be lost, or wait until earlier commits are safe."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

SYNCHRONOUS_NORMAL = 1  # See https://www.sqlite.org/pragma.html#pragma_synchronous.

# pg_logical_emit_message() is not restricted to superusers, and does not require logical replication.
_WRITE_RECORD = """
    SELECT pg_logical_emit_message(true, 'opsportal', '') WHERE current_setting('synchronous_standby_names') <> ''
"""


@contextmanager
def relaxed_durability() -> Iterator[None]:
    """Run a transaction that is visible after its commit but is written to the disk a little later.

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

    For the answer to a repeated request whose rows were found: its first commit may have failed after it became visible
    on the primary, because no standby confirmed it (core.lib.postgresql.driver). This writes a small record to the WAL,
    whose commit waits for the standby like any other. Raises OperationalError if no standby confirms it.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_WRITE_RECORD)
