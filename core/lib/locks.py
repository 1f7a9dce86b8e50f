"""Hold a lock across all nodes of the portal."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def cluster_lock(name: str) -> Iterator[None]:
    """Wait for and hold a lock that all processes on the same database respect.

    On PostgreSQL, the lock is held by a transaction on a separate connection, so that the guarded code may commit, and
    pgbouncer in transaction mode keeps the lock. If the process ends, the lock is released. On SQLite, there is no
    lock: all processes run on one machine, and each write transaction locks the database.
    """
    if connection.vendor != "postgresql":
        yield
        return
    import psycopg

    # This transaction stays open until the block ends.
    with psycopg.connect(**connection.get_connection_params()) as own:
        own.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(name.encode())])
        yield
