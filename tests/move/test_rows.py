"""Test that every value survives the copy from SQLite to PostgreSQL and compares equal in both databases."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from opsportal.move.compare import compare_table
from opsportal.move.exceptions import CannotMove
from opsportal.move.rows import KINDS
from opsportal.move.source import Source
from opsportal.move.steps import copy_table
from opsportal.move.target import CREATE_RECORDS, Target
from tests.servers.postgres import PostgresServer
from tests.two_runs import in_the_postgresql_run, in_the_sqlite_run

# The column's type in PostgreSQL, the value in SQLite, and the value that PostgreSQL returns.
VALUES = [
    ("boolean", 1, True),
    ("boolean", 0, False),
    ("bytea", b"", b""),
    ("bytea", b"\x00\xff\\\n", b"\x00\xff\\\n"),
    ("date", "2026-02-28", "2026-02-28"),
    ("double precision", 0.1, 0.1),
    ("double precision", 1e16, 1e16),
    ("double precision", 123456789012345680.0, 123456789012345680.0),
    ("double precision", -0.0, 0.0),
    ("double precision", 5e-324, 5e-324),
    ("bigint", -(2**63), -(2**63)),
    ("bigint", 2**63 - 1, 2**63 - 1),
    ("integer", None, None),
    ("interval", 0, "00:00:00"),
    ("interval", 90_061_000_001, "25:01:01.000001"),
    ("interval", -1_500_000, "-00:00:01.5"),
    ("jsonb", '{"b": 1, "a": [1.50, "x\\ty", null, true]}', {"b": 1, "a": [1.5, "x\ty", None, True]}),
    ("jsonb", '"NUL \\u0000, half \\ud83d, whole \\ud83d\\ude00"', "NUL \ufffd, half \ufffd, whole \U0001f600"),
    ("jsonb", "12345678901234567890", 12345678901234567890),
    ("jsonb", '"1"', "1"),
    ("text", "", ""),
    ("text", "\\N", "\\N"),
    ("text", "tab\t newline\n return\r \\backslash \b\f\v", "tab\t newline\n return\r \\backslash \b\f\v"),
    ("text", "NUL \0, snow ☃, face \U0001f600", "NUL \ufffd, snow ☃, face \U0001f600"),
    ("time", "08:30:00", "08:30:00"),
    ("time", "23:59:59.999000", "23:59:59.999"),
    ("timestamptz", "2026-11-22 14:29:01", "2026-11-22 14:29:01+00"),
    ("timestamptz", "2026-11-22 14:29:01.120000", "2026-11-22 14:29:01.12+00"),
    ("timestamptz", "2026-11-22T15:29:01.000001+01:00", "2026-11-22 14:29:01.000001+00"),
    ("uuid", "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"),
]  # fmt: skip
AS_TEXT = ("date", "interval", "time", "timestamptz", "uuid")


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[Target]:
    with psycopg.connect(postgres.url(), autocommit=True) as maintenance:
        maintenance.execute("DROP DATABASE IF EXISTS rows")
        maintenance.execute("CREATE DATABASE rows")
    target = Target(postgres.url("rows"))
    target.connection.execute(CREATE_RECORDS)
    yield target
    target.close()


def make_source(path: Path, rows: list[tuple[int, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE copied (id integer PRIMARY KEY, value)")
        database.executemany("INSERT INTO copied VALUES (?, ?)", rows)
    return path


@in_the_sqlite_run
@pytest.mark.parametrize("type_", sorted({type_ for type_, *_ in VALUES}))
def test_copied_values_compare_equal(target: Target, tmp_path: Path, type_: str) -> None:
    values = [(given, expected) for kind, given, expected in VALUES if kind == type_]
    path = make_source(tmp_path / "a.sqlite3", [(id, given) for id, (given, _) in enumerate(values)])  # fmt: skip
    target.connection.execute(
        f"CREATE TABLE copied (id bigint PRIMARY KEY, value {type_})".encode()
    )
    [table] = target.copied_tables()

    with Source.locked(path) as source:
        copy_table(source, target, table)
        summary, differences = compare_table(source, target, table)

    value = "value::text" if type_ in AS_TEXT else "value"
    stored = target.connection.execute(
        f"SELECT {value} FROM copied ORDER BY id".encode()
    ).fetchall()
    assert [value for (value,) in stored] == [expected for _, expected in values]
    assert (summary.row_count, differences) == (len(values), [])


@in_the_sqlite_run
def test_differing_rows_are_named(target: Target, tmp_path: Path) -> None:
    path = make_source(tmp_path / "a.sqlite3", [(id, f"text {id}") for id in range(50)])
    target.connection.execute("CREATE TABLE copied (id bigint PRIMARY KEY, value text)")
    [table] = target.copied_tables()

    with Source.locked(path) as source:
        copy_table(source, target, table, piece_rows=7)
        target.connection.execute("DELETE FROM copied WHERE id = 3")
        target.connection.execute("UPDATE copied SET value = 'other' WHERE id = 21")
        target.connection.execute("INSERT INTO copied VALUES (99, 'more')")
        _, differences = compare_table(source, target, table)

    assert "SQLite has 50 rows" in differences[0]
    assert differences[1:] == [
        "  the row with id 21 differs",
        "  the row with id 3 is missing from PostgreSQL",
        "  the row with id 99 is not in SQLite",
    ]


@in_the_sqlite_run
def test_a_value_that_postgresql_rejects_is_named_without_the_value(
    target: Target, tmp_path: Path
) -> None:
    path = make_source(tmp_path / "a.sqlite3", [(1, "short"), (7, "jane@shop.example")])
    target.connection.execute("CREATE TABLE copied (id bigint PRIMARY KEY, value varchar(8))")
    [table] = target.copied_tables()

    with Source.locked(path) as source, pytest.raises(CannotMove) as raised:
        copy_table(source, target, table)

    assert "copied (id 7, column value)" in str(raised.value)
    assert "jane" not in str(raised.value)


@in_the_postgresql_run
@pytest.mark.django_db
def test_all_types_of_the_portals_columns_can_be_copied() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT udt_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
        types = {name for (name,) in cursor.fetchall()}

    assert types - KINDS.keys() == set()
