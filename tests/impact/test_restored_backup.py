"""Test that a repeated erasure after the restore of a backup leaves nothing of the person in the portal's files."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.portal import Portal
from tests.two_runs import in_the_sqlite_run

pytestmark = [in_the_sqlite_run, pytest.mark.slow]
PERSON = "ticketbuyer17x"  # The search index of logs stores single words, so the name is one word.
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
    """Return the names of the portal's SQLite files that contain the text. Compressed backups are left out."""
    run(portal, "shell", "-v0", "-c", CHECKPOINT)
    return [
        path.name
        for path in portal.data_dir.rglob("*.sqlite3*")
        # FTS5 omits the beginning that a word shares with the previous word, so search without the first letter.
        if path.suffix != ".gz" and text[1:].encode() in path.read_bytes()
    ]


def restore(portal: Portal, backup: Path) -> None:
    """Replace the database by the backup, as docs/operations.md describes."""
    for path in portal.data_dir.glob("opsportal.sqlite3*"):
        path.unlink()
    (portal.data_dir / "opsportal.sqlite3").write_bytes(gzip.decompress(backup.read_bytes()))


def test_a_repeated_erasure_leaves_nothing_of_the_person_in_the_files(
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

    assert "Persons that had been erased: 1. Persons with records again: 1." in output
    assert files_with(portal, PERSON) == []
