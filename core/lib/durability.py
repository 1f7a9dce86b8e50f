"""Commit without waiting for the disk, for writes that may be lost in a power failure, such as counters."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

SYNCHRONOUS_NORMAL = 1  # See https://www.sqlite.org/pragma.html#pragma_synchronous.


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
