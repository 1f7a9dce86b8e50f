"""Test that repeating an erasure after a backup was restored leaves no trace of the person in the portal's files."""

import gzip
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.portal import Portal
from tests.two_runs import in_the_postgresql_run, in_the_sqlite_run

pytestmark = pytest.mark.slow
PERSON = "ticketbuyer17x"  # A single word, because the search index of logs stores single words.
LEAVE_TRACES = f"""
from django.utils import timezone
from tests.impact.test_person import leave_traces, log
leave_traces("{PERSON}", timezone.now())
for number in range(3):
    log("checkout of {PERSON} failed", **{{"user.id": "{PERSON}"}})
"""
ERASE = f"""
from django.utils import timezone
from impact.services.erasure import erase_person
from impact.services.restored_erasures import keep_beside_backups
erase_person(customer="{PERSON}", user=None, now=timezone.now())
print("kept", keep_beside_backups())
"""
CHECKPOINT = """
from django.db import connection
connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
"""


def run(portal: Portal, *arguments: str) -> str:
    done = portal.manage(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_with(portal: Portal, text: str) -> list[str]:
    """Return the names of the portal's SQLite files that contain the text, except compressed backups."""
    run(portal, "shell", "-v0", "-c", CHECKPOINT)
    return [
        path.name
        for path in portal.data_dir.rglob("*.sqlite3*")
        # FTS5 stores a word without the beginning that it shares with the previous word, so omit the first letter.
        if path.suffix != ".gz" and text[1:].encode() in path.read_bytes()
    ]


def restore(portal: Portal, backup: Path) -> None:
    """Replace the database with the backup, as docs/operations.md describes."""
    for path in portal.data_dir.glob("opsportal.sqlite3*"):
        path.unlink()
    (portal.data_dir / "opsportal.sqlite3").write_bytes(gzip.decompress(backup.read_bytes()))


@in_the_sqlite_run
def test_a_repeated_erasure_leaves_no_trace_of_the_person_in_the_files(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    run(portal, "shell", "-v0", "-c", LEAVE_TRACES)
    found = re.search(r"\S+\.sqlite3\.gz", run(portal, "backup"))
    assert found
    backup = Path(found[0])
    assert "kept 1" in run(portal, "shell", "-v0", "-c", ERASE)
    assert files_with(portal, PERSON) == []

    restore(portal, backup)
    assert files_with(portal, PERSON) == ["opsportal.sqlite3"]
    output = run(portal, "repeat_erasures")

    assert "People who had been erased: 1. People with records again: 1." in output
    assert files_with(portal, PERSON) == []


def tables_with(portal: Portal, text: str) -> list[str]:
    """Return the names of the portal's PostgreSQL tables with a row that contains the text."""
    tables = portal.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    query = 'SELECT 1 FROM "{}" AS one WHERE one::text LIKE %s LIMIT 1'
    return [name for (name,) in tables if portal.rows(query.format(name), (f"%{text}%",))]


def postgresql_files_with(portal: Portal, text: str) -> list[str]:
    """Return the names of the files in the portal's PostgreSQL database folder that contain the text."""
    portal.rows("CHECKPOINT")
    ((folder, number),) = portal.rows(
        "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
    )
    files = (Path(folder) / "base" / str(number)).iterdir()
    return [path.name for path in files if text.encode() in path.read_bytes()]


@in_the_postgresql_run
def test_on_postgresql_a_repeated_erasure_and_vacuum_full_leave_no_trace_of_the_person(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    run(portal, "shell", "-v0", "-c", LEAVE_TRACES)
    found = re.search(r"\S+\.dump", run(portal, "backup"))
    assert found
    assert "kept 1" in run(portal, "shell", "-v0", "-c", ERASE)
    assert tables_with(portal, PERSON) == []

    portal.rows("DROP SCHEMA public CASCADE")
    portal.rows("CREATE SCHEMA public")
    pg_restore = Path(os.environ["PG_BIN"]) / "pg_restore"
    subprocess.run(
        [pg_restore, "--no-owner", "--exit-on-error", f"--dbname={portal.database_url}", found[0]],
        check=True,
    )
    assert {"errors_errorevent", "logs_logentry", "impact_order"} <= set(
        tables_with(portal, PERSON)
    )
    output = run(portal, "repeat_erasures")

    assert "People who had been erased: 1. People with records again: 1." in output
    assert tables_with(portal, PERSON) == []
    assert postgresql_files_with(portal, PERSON) != []
    portal.rows("VACUUM FULL")
    assert postgresql_files_with(portal, PERSON) == []
