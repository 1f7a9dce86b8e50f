"""One at a time across all nodes of the portal."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Hold a lock of this name that every process on the same database respects; waits for it.

    On PostgreSQL it lives on a connection of its own (so that what it guards may commit as it likes, and pgbouncer in
    transaction mode keeps it) and ends with the process. SQLite has one machine and its own lock per write transaction.
    """
    if connection.vendor != "postgresql":
        yield
        return
    import psycopg

    # A transaction, held open until the block ends.
    with psycopg.connect(**connection.get_connection_params()) as own:
        own.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(name.encode())])
        yield
