"""Hold a lock across all nodes of the portal."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def cluster_lock(name: str) -> Iterator[None]:
    """Wait for and hold a lock that excludes all other processes on the same database.

    On PostgreSQL, a transaction on a separate connection holds the lock. Therefore, the guarded code may commit,
    pgbouncer in transaction mode keeps the lock, and the lock is released if the process ends. On SQLite, there is no
    lock, because all processes run on one machine and each write transaction locks the database.
    """
    if connection.vendor != "postgresql":
        yield
        return
    import psycopg

    # The transaction on this connection stays open, and holds the lock, until the block ends.
    with psycopg.connect(**connection.get_connection_params()) as own:
        own.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(name.encode())])
        yield
