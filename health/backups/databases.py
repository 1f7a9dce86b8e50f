"""How each kind of database is copied out and brought back. Nothing past this file knows SQLite from PostgreSQL."""

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
    """The tool's own words."""


class Database(Protocol):
    suffix: str

    def dump(self, file: Path) -> None: ...
    def counts(self, tables: Iterable[str]) -> dict[str, int]: ...
    def restored_counts(self, file: Path, tables: Iterable[str]) -> dict[str, int]: ...


def current() -> "Database":
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
        """By SQLite's online backup: one read transaction, so writers go on and the copy is of one instant."""
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

    def counts(self, tables: Iterable[str]) -> dict[str, int]:
        return self._counts(self.path, tables)

    def restored_counts(self, file: Path, tables: Iterable[str]) -> dict[str, int]:
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
            return self._counts(copy, tables)

    @staticmethod
    def _counts(path: Path, tables: Iterable[str]) -> dict[str, int]:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as opened:
                return _count_all(lambda sql: opened.execute(sql).fetchone()[0], tables)
        except sqlite3.Error as error:
            raise BackupFailed(str(error)) from error


class PostgreSQL:
    suffix = ".dump"

    def __init__(self, database: Mapping[str, Any]) -> None:
        self.name = str(database["NAME"])
        # By the environment: a password in the arguments is seen by everybody on the machine.
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

    def counts(self, tables: Iterable[str]) -> dict[str, int]:
        return self._counts(self.name, tables)

    def restored_counts(self, file: Path, tables: Iterable[str]) -> dict[str, int]:
        scratch = f"opsportal_verify_{secrets.token_hex(4)}"
        self._run("createdb", "--template=template0", scratch)
        try:
            self._run(
                "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={scratch}", str(file)
            )
            return self._counts(scratch, tables)
        finally:
            self._run("dropdb", "--if-exists", scratch)

    def _counts(self, database: str, tables: Iterable[str]) -> dict[str, int]:
        def execute(sql: str) -> str:
            return self._run("psql", "-X", "-A", "-t", "-c", sql, database).strip()

        return _count_all(execute, tables)

    def _run(self, tool: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603
            [_tool(tool), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = " ".join(done.stderr.split())
            raise BackupFailed(f"{tool}: {words[:500]}")
        return done.stdout


def _tool(name: str) -> str:
    """In PG_BIN, on PATH, or where Debian puts it (newest first: a tool must not be older than its server)."""
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
    raise BackupFailed(f"{name} is not here: install PostgreSQL's client tools or set PG_BIN")
