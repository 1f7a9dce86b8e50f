"""Dump and restore the database.

In this package, only this module distinguishes SQLite from PostgreSQL.
"""

import gzip
import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import connection


class BackupFailed(Exception):
    """A dump or restore failed. The message contains the reason, such as the output of the database's tool."""


class Database(Protocol):
    suffix: str  # The file name extension of backups, such as ".sqlite3.gz".

    def dump(self, file: Path) -> None:
        """Write a consistent copy of the database to a file."""

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]:
        """Return the number of rows in each table."""

    def count_restored_rows(self, file: Path, tables: Iterable[str]) -> dict[str, int]:
        """Restore a dump into a scratch database, and return the number of rows in each of its tables."""


def current_database() -> "Database":
    if connection.vendor == "postgresql":
        return PostgreSQL(connection.settings_dict)
    return SQLite(Path(str(connection.settings_dict["NAME"])))


def _count_all(execute: Callable[[str], Any], tables: Iterable[str]) -> dict[str, int]:
    return {table: int(execute(f'SELECT count(*) FROM "{table}"')) for table in tables}  # noqa: S608


class SQLite:
    suffix = ".sqlite3.gz"

    def __init__(self, path: Path) -> None:
        self.path = path

    def dump(self, file: Path) -> None:
        """Write a copy with SQLite's online backup.

        The backup reads in one transaction, so the copy is consistent and writers are not blocked.
        """
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            copy = Path(folder) / "copy.sqlite3"
            try:
                with (
                    closing(sqlite3.connect(self.path, timeout=20)) as source,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
            except sqlite3.Error as error:
                raise BackupFailed(str(error)) from error
            with copy.open("rb") as plain, gzip.open(file, "wb", compresslevel=5) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]:
        return self._count_rows_in(self.path, tables)

    def count_restored_rows(self, file: Path, tables: Iterable[str]) -> dict[str, int]:
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            copy = Path(folder) / "scratch.sqlite3"
            try:
                with gzip.open(file) as packed, copy.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
            except (OSError, EOFError) as error:
                raise BackupFailed(f"cannot be unpacked: {error}") from error
            try:
                with closing(sqlite3.connect(copy)) as scratch:
                    verdict = scratch.execute("PRAGMA integrity_check").fetchone()[0]
            except sqlite3.Error as error:
                raise BackupFailed(f"cannot be opened: {error}") from error
            if verdict != "ok":
                raise BackupFailed(f"is damaged: {verdict[:200]}")
            return self._count_rows_in(copy, tables)

    @staticmethod
    def _count_rows_in(path: Path, tables: Iterable[str]) -> dict[str, int]:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as opened:
                return _count_all(lambda sql: opened.execute(sql).fetchone()[0], tables)
        except sqlite3.Error as error:
            raise BackupFailed(str(error)) from error


class PostgreSQL:
    suffix = ".dump"

    def __init__(self, database: Mapping[str, Any]) -> None:
        self.name = str(database["NAME"])
        # Pass the password in the environment, because all users of the machine can read command-line arguments.
        self.environment = os.environ | {
            variable: str(value)
            for variable, value in (
                ("PGHOST", database.get("HOST")),
                ("PGPORT", database.get("PORT")),
                ("PGUSER", database.get("USER")),
                ("PGPASSWORD", database.get("PASSWORD")),
                ("PGSSLMODE", database.get("OPTIONS", {}).get("sslmode")),
                ("PGCONNECT_TIMEOUT", 10),
            )
            if value
        }

    def dump(self, file: Path) -> None:
        self._run("pg_dump", "--format=custom", "--no-owner", f"--file={file}", self.name)

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]:
        return self._count_rows_in(self.name, tables)

    def count_restored_rows(self, file: Path, tables: Iterable[str]) -> dict[str, int]:
        scratch = f"opsportal_verify_{secrets.token_hex(4)}"
        self._run("createdb", "--template=template0", scratch)
        try:
            self._run(
                "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={scratch}", str(file)
            )
            return self._count_rows_in(scratch, tables)
        finally:
            self._run("dropdb", "--if-exists", scratch)

    def _count_rows_in(self, database: str, tables: Iterable[str]) -> dict[str, int]:
        def execute(sql: str) -> str:
            return self._run("psql", "-X", "-A", "-t", "-c", sql, database).strip()

        return _count_all(execute, tables)

    def _run(self, tool: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603
            [_find_tool(tool), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = " ".join(done.stderr.split())
            raise BackupFailed(f"{tool}: {message[:500]}")
        return done.stdout


def _find_tool(name: str) -> str:
    """Return the path of a PostgreSQL tool in PG_BIN (or on PATH if PG_BIN is empty), or in Debian's folders.

    In Debian's folders, the newest version is preferred, because a tool must not be older than the server.
    Raises BackupFailed if the tool is not found.
    """
    folders = [Path(settings.PG_BIN)] if settings.PG_BIN else []
    on_path = shutil.which(name)
    if not folders and on_path:
        return on_path
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda f: f.parent.name.zfill(4),
        reverse=True,
    )
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    raise BackupFailed(f"{name} was not found; install PostgreSQL's client tools or set PG_BIN")
