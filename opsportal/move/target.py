"""Write to the PostgreSQL database that receives the data.

The move creates tables that record which rows have been copied. A record is written in the transaction that copies the
rows, so that an interrupted move continues where it stopped. The tables are dropped at the end.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

import psycopg
from django.conf import settings
from psycopg import sql

from core.lib.postgresql import driver
from core.lib.processes import die_with_parent
from errors.store import partitions
from opsportal.move.exceptions import CannotMove
from opsportal.move.rows import KINDS, RowFormat

MIN_VERSION = 14
# The table that records which rows have been copied. The names of the move's other tables begin with its name.
RECORDS = "move_to_postgresql"
NOT_COPIED = ("django_migrations",)  # Tables that are not copied, because `migrate` fills them.
CREATE_RECORDS = f"""
    CREATE TABLE IF NOT EXISTS {RECORDS} (
        name text PRIMARY KEY, last_rowid bigint NOT NULL, row_count bigint NOT NULL, is_done boolean NOT NULL
    );
    CREATE TABLE IF NOT EXISTS {RECORDS}_source (fingerprint text NOT NULL);
    CREATE TABLE IF NOT EXISTS {RECORDS}_foreign_keys (
        table_name text, name text, definition text NOT NULL, PRIMARY KEY (table_name, name)
    );
"""
FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND connamespace = current_schema()::regnamespace
"""
COLUMNS = """
    SELECT c.relname, a.attname, t.typname, a.attnum = ANY(coalesce(i.indkey::int2[], '{}'))
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
    ORDER BY c.relname, a.attnum
"""


class Table(NamedTuple):
    name: str
    columns: list[str]  # The columns of the primary key come first.
    key_length: int  # The number of columns in the primary key.
    types: list[str]

    @property
    def format(self) -> RowFormat:
        return RowFormat([KINDS[type_] for type_ in self.types])


class Copied(NamedTuple):
    last_rowid: int = -(2**63)
    row_count: int = 0
    is_done: bool = False


class Target:
    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = psycopg.conninfo.conninfo_to_dict(url)
            self.connection = driver.connect(url, autocommit=True, connect_timeout=10)
        except psycopg.Error as error:
            raise CannotMove(f"cannot use the PostgreSQL database: {_line(error)}") from None
        self.name = f"{parts.get('host', 'localhost')}/{parts.get('dbname', '')}"
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET DateStyle = 'ISO'")
        self.connection.execute("SET bytea_output = 'hex'")
        # Commits of copied rows need not wait for the disk, because a crash that loses rows also loses their record.
        self.connection.execute("SET synchronous_commit = off")

    def close(self) -> None:
        self.connection.close()

    def _rows(self, statement: str | sql.Composed, parameters: Iterable[Any] = ()) -> list[Any]:
        return self.connection.execute(statement, list(parameters)).fetchall()

    # --- before the copy ------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise CannotMove if this database cannot receive the data.

        Its version or encoding may not fit, or it may contain a portal's data that does not come from an unfinished
        move.
        """
        version = self.connection.info.server_version // 10_000
        if version < MIN_VERSION:
            raise CannotMove(
                f"PostgreSQL {version} is too old: the portal needs {MIN_VERSION} or later"
            )
        [(encoding,)] = self._rows("SHOW server_encoding")
        if encoding != "UTF8":
            raise CannotMove(
                f"the database's encoding is {encoding}. Create it with ENCODING 'UTF8'."
            )
        existing = {table.name for table in self.tables()}
        if RECORDS in existing or "clients_clientapp" not in existing:
            return
        [(is_used,)] = self._rows(
            "SELECT EXISTS (SELECT FROM auth_user) OR EXISTS (SELECT FROM clients_clientapp)"
        )
        if is_used:
            raise CannotMove(
                f"the database {self.name} already contains a portal's data, which is not overwritten."
                " Create an empty database, and give its URL."
            )

    def migrate(self) -> None:
        """Create the tables with the migrations of this version."""
        self.connection.execute(CREATE_RECORDS)
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "--no-input"]
        environment = {
            name: value for name, value in os.environ.items() if name != "DATABASE_URL_FILE"
        }
        done = subprocess.run(  # noqa: S603 - our own program
            [*command, "-v0"],
            env=environment | {"DATABASE_URL": self.url, "DATABASE_POOL": "0"},
            preexec_fn=lambda: die_with_parent(9),
            check=False,
            capture_output=True,
            text=True,
        )  # fmt: skip
        if done.returncode:
            raise CannotMove(f"the tables could not be created:\n{done.stderr[-2000:]}")

    def tables(self) -> list[Table]:
        """Return the portal's tables with their columns, the primary key first, and the types of the columns."""
        found: dict[str, list[tuple[str, str, bool]]] = {}
        for name, column, type_, is_key in self._rows(COLUMNS):
            found.setdefault(name, []).append((column, type_, is_key))
        tables = []
        for name, columns in found.items():
            columns.sort(key=lambda column: not column[2])
            tables.append(
                Table(
                    name,
                    [column for column, _, _ in columns],
                    sum(is_key for _, _, is_key in columns),
                    [type_ for _, type_, _ in columns],
                )
            )
        return tables

    def copied_tables(self) -> list[Table]:
        """Return the tables whose rows are copied."""
        return [
            table
            for table in self.tables()
            if table.name not in NOT_COPIED and not table.name.startswith(RECORDS)
        ]

    def fingerprint(self) -> str:
        """Return the fingerprint of the data whose copy has begun, or "" if no copy has begun."""
        [(has_begun,)] = self._rows("SELECT to_regclass(%s) IS NOT NULL", [f"{RECORDS}_source"])
        rows = self._rows(f"SELECT fingerprint FROM {RECORDS}_source") if has_begun else []  # noqa: S608
        return str(rows[0][0]) if rows else ""

    def start_over(self) -> None:
        """Make the next move copy everything again."""
        self.connection.execute(f"TRUNCATE {RECORDS}_source")

    def begin(self, fingerprint: str) -> None:
        """Prepare a copy of everything: drop foreign keys, disable triggers, empty all tables, store `fingerprint`."""
        tables = sql.SQL(", ").join(sql.Identifier(table.name) for table in self.copied_tables())
        with self.connection.transaction():
            # A row may refer to a row that is not copied yet. Adding the keys again at the end checks all references.
            for table, name, definition in self._rows(FOREIGN_KEYS):
                self.connection.execute(
                    f"INSERT INTO {RECORDS}_foreign_keys VALUES (%s, %s, %s)",  # noqa: S608
                    [table, name, definition],
                )
                self.connection.execute(
                    sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                        sql.Identifier(table), sql.Identifier(name)
                    )
                )
            self._set_triggers("DISABLE")
            self.connection.execute(sql.SQL("TRUNCATE {}").format(tables))
            self.connection.execute(f"TRUNCATE {RECORDS}, {RECORDS}_source")
            self.connection.execute(
                f"INSERT INTO {RECORDS}_source VALUES (%s)",  # noqa: S608
                [fingerprint],
            )

    def _set_triggers(self, action: str) -> None:
        """Disable or enable the triggers that record which rows changed, because these records are copied as well."""
        with_triggers = (
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        )
        for (table,) in self._rows(with_triggers):
            if not table.startswith(RECORDS):
                self.connection.execute(f"ALTER TABLE {table} {action} TRIGGER USER".encode())

    def create_partitions(self, days: Iterable[date]) -> None:
        """Create the partitions for events that were received on the given days."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for day in days:
                partitions.create(cursor, day)

    # --- the copy -------------------------------------------------------------------------------------

    def copied(self, name: str) -> Copied:
        rows = self._rows(
            f"SELECT last_rowid, row_count, is_done FROM {RECORDS} WHERE name = %s",  # noqa: S608
            [name],
        )
        return Copied(*rows[0]) if rows else Copied()

    @contextmanager
    def piece(self, name: str, last_rowid: int) -> Iterator["Piece"]:
        """Begin a transaction in which the caller copies rows after `last_rowid`, and record these rows at its end."""
        piece = Piece(self, last_rowid)
        with self.connection.transaction():
            yield piece
            self.connection.execute(
                f"INSERT INTO {RECORDS} AS t VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO UPDATE"  # noqa: S608
                " SET last_rowid = excluded.last_rowid, row_count = t.row_count + excluded.row_count,"
                " is_done = excluded.is_done",
                [name, piece.last_rowid, piece.row_count, piece.is_last],
            )

    def store_file(self, name: str, content: bytes) -> None:
        """Store a source map as errors.source_maps.storage.DatabaseStorage does."""
        self.connection.execute(
            "INSERT INTO errors_storedcontent (name, content) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET content = excluded.content",
            [name, content],
        )

    def file_digests(self) -> dict[str, str]:
        return dict(
            self._rows("SELECT name, encode(sha256(content), 'hex') FROM errors_storedcontent")
        )

    # --- after the copy -------------------------------------------------------------------------------

    def set_sequence(self, table: Table, last_given_id: int) -> None:
        """Make the next id of the table higher than all ids that were ever given to its rows."""
        column = table.columns[0]
        [(sequence,)] = self._rows(
            "SELECT pg_get_serial_sequence(%s, %s)", [f'"{table.name}"', column]
        )
        if sequence is None:
            return
        highest = sql.SQL("SELECT coalesce(max({}), 0) FROM {}").format(
            sql.Identifier(column), sql.Identifier(table.name)
        )
        [(max_id,)] = self._rows(highest)
        if last := max(max_id, last_given_id):
            self.connection.execute("SELECT setval(%s, %s)", [sequence, last])

    def add_foreign_keys(self) -> None:
        """Add the foreign keys again, which checks all references, and enable the triggers."""
        keys = self._rows(f"SELECT table_name, name, definition FROM {RECORDS}_foreign_keys")  # noqa: S608
        for table, name, definition in keys:
            with self.connection.transaction():
                self.connection.execute(
                    sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                        sql.Identifier(table), sql.Identifier(name), sql.SQL(definition)
                    )
                )
                self.connection.execute(
                    f"DELETE FROM {RECORDS}_foreign_keys WHERE table_name = %s AND name = %s",  # noqa: S608
                    [table, name],
                )
        self._set_triggers("ENABLE")

    def lines(self, table: Table) -> Iterator[bytes]:
        """Yield all rows of the table, as COPY writes them."""
        expressions = sql.SQL(", ").join(
            sql.SQL(KINDS[type_].expression).format(sql.Identifier(column))
            for column, type_ in zip(table.columns, table.types, strict=True)
        )
        statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
            expressions, sql.Identifier(table.name)
        )
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for line in copy:
                yield bytes(line)

    def finish(self) -> None:
        """Update the planner's statistics and drop the records of the move."""
        self.connection.execute("ANALYZE")
        self.connection.execute("SET synchronous_commit = on")
        self.connection.execute(f"DROP TABLE {RECORDS}, {RECORDS}_source, {RECORDS}_foreign_keys")


class Piece:
    """The rows that one transaction copies."""

    def __init__(self, target: Target, last_rowid: int) -> None:
        self._target = target
        self.last_rowid = last_rowid
        self.row_count = 0
        self.is_last = False

    def copy(self, table: Table, lines: Iterable[bytes]) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
        rows: list[bytes] = []
        with self._target.connection.cursor() as cursor:
            try:
                with cursor.copy(statement) as copy:
                    for line in lines:
                        rows.append(line.split(b"\t", table.key_length)[0])
                        copy.write(line)
            except psycopg.errors.DataError as error:
                raise CannotMove(_explain(error, table, rows)) from None


def _explain(error: psycopg.Error, table: Table, keys: list[bytes]) -> str:
    """Describe the row and column that PostgreSQL rejects. Leave out the value, which may be personal data."""
    found = re.search(r"line (\d+)(?:, column (\w+))?", error.diag.context or "")
    if not found:
        return f"PostgreSQL rejects a row of {table.name}: {error.diag.message_primary}"
    key = keys[int(found[1]) - 1].decode()
    column = f", column {found[2]}" if found[2] else ""
    reason = (error.diag.message_primary or "").partition(":")[0]
    return f"PostgreSQL rejects a row of {table.name} ({table.columns[0]} {key}{column}): {reason}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
