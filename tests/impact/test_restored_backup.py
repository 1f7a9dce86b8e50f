"""After a real restore, a repeated erasure leaves nothing of the person in the files of the portal."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.portal import Portal
from tests.two_runs import in_the_sqlite_run

pytestmark = [in_the_sqlite_run, pytest.mark.slow]
PERSON = "ticketbuyer17x"  # A single word, as the index of the logs' words has it.
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
    """Return the files of the portal that contain the text, apart from backups and logs of this test."""
    run(portal, "shell", "-v0", "-c", CHECKPOINT)
    return [
        path.name
        for path in portal.data_dir.rglob("*.sqlite3*")
        # FTS5 stores only the part of a word in which it differs from the word before.
        if path.suffix != ".gz" and text[1:].encode() in path.read_bytes()
    ]


def restore(portal: Portal, backup: Path) -> None:
    """Follow docs/operations.md."""
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

    assert "1 persons were erased before; 1 had records again" in output
    assert files_with(portal, PERSON) == []
