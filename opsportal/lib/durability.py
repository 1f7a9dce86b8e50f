"""Writes that need not survive a power cut: a nudge the sweep makes up for, a counter. They skip the wait for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

NORMAL = 1


@contextmanager
def quick_commit() -> Iterator[None]:
    """One transaction that is visible at once and on the disk a little later. A crash of the process loses nothing.

    Inside a transaction it changes nothing: that one decides.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            [kept] = cursor.fetchone()
            # In WAL mode NORMAL does not sync at a commit; the next FULL commit, or checkpoint, syncs these too.
            cursor.execute(f"PRAGMA synchronous={min(kept, NORMAL)}")
            try:
                with transaction.atomic():
                    yield
            finally:
                cursor.execute(f"PRAGMA synchronous={kept}")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit = off")
            yield
