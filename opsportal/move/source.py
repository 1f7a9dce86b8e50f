"""Read the SQLite file that is moved, and lock it so that no process can write to it."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opsportal.move.exceptions import CannotMove

LOCK_TIMEOUT_SECONDS = 60.0
FETCHED_ROWS = 500


class Source:
    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def locked(cls, path: Path) -> Iterator["Source"]:
        """Hold SQLite's write lock. Readers are not affected. Raises CannotMove if another process keeps the lock."""
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)
        try:
            # Write the whole WAL into the file, so that no later checkpoint changes the file.
            deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise CannotMove(
                    f"the SQLite file stays locked ({error}). Stop other moves, and other programs that write to the"
                    " file."
                ) from None
            yield cls(path, connection)
        finally:
            connection.close()

    def fingerprint(self) -> str:
        """Return a string that changes when the file is written to."""
        paths = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        states = [path.stat() for path in paths if path.exists()]
        return ", ".join(
            f"{state.st_size} {state.st_mtime_ns}" for state in states if state.st_size
        )

    def tables(self) -> dict[str, list[str]]:
        """Return the columns of all tables except full-text indexes, which PostgreSQL stores in another form."""
        rows = self._connection.execute(
            "SELECT name, sql LIKE 'CREATE VIRTUAL TABLE%' FROM sqlite_master"
            " WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        virtual = [name for name, is_virtual in rows if is_virtual]
        names = [
            name
            for name, is_virtual in rows
            if not is_virtual and not any(name.startswith(f"{table}_") for table in virtual)
        ]
        return {
            name: [column for _, column, *_ in self._connection.execute(f'PRAGMA table_info("{name}")')]
            for name in names
        }  # fmt: skip

    def count(self, table: str) -> int:
        return int(self._connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608

    def column(self, sql: str) -> list[Any]:
        return [value for (value,) in self._connection.execute(sql)]

    def rows(
        self, table: str, columns: Sequence[str], after: int = -(2**63)
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the row id and the values of each row whose row id is above `after`, sorted by row id."""
        listed = ", ".join(f'"{column}"' for column in columns)
        cursor = self._connection.execute(
            f'SELECT rowid, {listed} FROM "{table}" WHERE rowid > ? ORDER BY rowid',  # noqa: S608
            [after],
        )
        while rows := cursor.fetchmany(FETCHED_ROWS):
            yield from rows

    def last_given_id(self, table: str) -> int:
        """Return the highest id that SQLite ever gave to a row of the table. The row may have been deleted since."""
        rows = self.column(f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'")  # noqa: S608
        return int(rows[0]) if rows else 0
