"""Test that a portal moves from SQLite to PostgreSQL, even if a move is killed, and then shows the same numbers."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from difflib import ndiff
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from core.lib import read_only
from opsportal.move import steps
from opsportal.move.exceptions import CannotMove
from opsportal.move.target import CREATE_RECORDS, RECORDS, Target
from tests.servers import process
from tests.servers.portal import ROOT, Portal
from tests.servers.postgres import PostgresServer
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run
# A trigger that blocks the move at its first recorded part of a table until the test releases a lock.
BLOCK = f"""
    {CREATE_RECORDS};
    CREATE OR REPLACE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
    DROP TRIGGER IF EXISTS block ON {RECORDS};
    CREATE TRIGGER block BEFORE INSERT OR UPDATE ON {RECORDS} FOR EACH ROW
        WHEN (NEW.name = '%s') EXECUTE FUNCTION block();
"""
IS_BLOCKED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """Create an empty PostgreSQL database, and yield a connection to it."""
    with psycopg.connect(postgres.url(), autocommit=True) as maintenance:
        maintenance.execute("DROP DATABASE IF EXISTS moved WITH (FORCE)")
        maintenance.execute("CREATE DATABASE moved")
    with psycopg.connect(postgres.url("moved"), autocommit=True) as own:
        yield own


@pytest.mark.slow
def test_a_portal_is_moved_after_one_move_with_a_difference_and_one_killed_move(
    make_portal: Callable[..., Portal],
    postgres: PostgresServer,
    database: psycopg.Connection[Any],
) -> None:
    portal = make_portal()
    portal.start()
    portal.start_worker()
    fill(portal)
    url = postgres.url("moved")

    # Change a row in PostgreSQL during the move, so that the comparison at the end of the move must fail.
    with blocked_at(database, "errors_eventpayload", portal, url) as move:
        database.execute("UPDATE auth_user SET first_name = 'Changed' WHERE username = 'owner'")
    output, code = finish(move, portal)
    assert code == 1, output
    assert "auth_user: SQLite has 1 rows" in output
    assert "the row with id 1 differs" in output
    assert "must not be used" in output
    assert report(portal) == 200  # After the failed move, the portal accepts writes again.

    # Kill the next move while it copies a part of a table.
    with blocked_at(database, "errors_eventpayload", portal, url) as move:
        assert report(portal) == 503
        shown = portal.client.get("/admin/system-health/", headers=portal.staff)
        assert "read-only while its data is being moved" in shown.text
        portal.wait_for(lambda: not portal.find_workers("loops"), what="the end of the cluster")
        process.kill_group(move)
    assert report(portal) == 503
    untouched = digest(portal)

    output, code = finish(start_move(portal, url), portal)
    assert code == 0, output
    assert "Continuing the interrupted copy." in output
    assert digest(portal) == untouched
    portal.restart()
    assert report(portal) == 503  # After a successful move, the old database must stay read-only.
    assert "has already been moved to" in portal.manage("move_to_postgresql", url).stderr

    at = datetime.now(UTC).isoformat()
    portal.environment["DATABASE_URL"] = f"sqlite:///{copy_of_the_database(portal)}"
    before = pages(portal, at)
    portal.environment["DATABASE_URL"] = url
    after = pages(portal, at)
    assert len(before) > 50
    assert differences(before, after) == {}
    portal.restart()
    assert report(portal) == 200
    # New ids do not collide with moved ones, because the move has set the sequences.
    assert reserve(portal) == 201
    assert not database.execute(f"SELECT to_regclass('{RECORDS}')").fetchall()[0][0]


def fill(portal: Portal) -> None:
    """Store events of several days with the benchmarks' seed program, and send one request of each kind."""
    for module, *options in (("bench.seed_errors", "--events", "300", "--groups", "20"),):
        run(portal, module, *options)
    seed = "from reservations.models import *; e = Event.objects.create(name='Concert', slug='concert');"
    seed += (
        "TicketType.objects.create(event=e, name='Seat', capacity=100, price=4500, currency='EUR')"
    )
    assert portal.manage("shell", "-v0", "-c", seed).returncode == 0
    assert report(portal) == 200
    assert reserve(portal) == 201
    signal = {"type": "counter", "name": "orders", "value": 3}
    sent = portal.client.post("/api/v1/signals/", json={"signals": [signal]}, headers=portal.api)
    assert sent.is_success, sent.text


def report(portal: Portal) -> int:
    error = {"message": "Gate offline", "severity": "error", "order": "A-1"}
    response = portal.client.post(
        "/api/v1/errors/", json=error, headers={"Authorization": f"Bearer {portal.public_key}"}
    )
    return response.status_code


def reserve(portal: Portal) -> int:
    items = [{"ticket_type": 1, "quantity": 1}]
    sent = portal.client.post("/api/v1/reservations/", json={"items": items}, headers=portal.api)
    return sent.status_code


def run(portal: Portal, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=portal.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def pages(portal: Portal, at: str) -> dict[str, str]:
    output = run(portal, "tests.move.pages", portal.seeded.session, at)
    texts: dict[str, str] = json.loads(output.splitlines()[-1])
    return texts


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, list[str]]:
    """Return the words in which `before` and `after` differ, by the path of the page."""
    return {
        path: [
            word
            for word in ndiff(before[path].split(), after.get(path, "").split())
            if word[0] in "+-"
        ]
        for path in before
        if before[path] != after.get(path)
    }


def copy_of_the_database(portal: Portal) -> Path:
    """Return the path of a writable copy of the SQLite file, which lacks the read-only mark."""
    folder = portal.data_dir / "copy"
    folder.mkdir()
    copied = folder / "opsportal.sqlite3"
    with (
        closing(sqlite3.connect(portal.data_dir / "opsportal.sqlite3")) as source,
        closing(sqlite3.connect(copied)) as target,
    ):
        source.backup(target)
    return copied


def digest(portal: Portal) -> str:
    return hashlib.sha256((portal.data_dir / "opsportal.sqlite3").read_bytes()).hexdigest()


def log(portal: Portal) -> Path:
    return portal.data_dir / "move.log"


def start_move(portal: Portal, url: str) -> subprocess.Popen[bytes]:
    log(portal).unlink(missing_ok=True)
    return process.spawn(
        [sys.executable, "manage.py", "move_to_postgresql", url, "--drain-seconds", "1", "--piece-rows", "50"],
        log=log(portal),
        env=portal.environment,
        cwd=ROOT,
    )  # fmt: skip


@contextmanager
def blocked_at(
    database: psycopg.Connection[Any], table: str, portal: Portal, url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a move that stays blocked before it commits the first part of `table` until the `with` block ends."""
    database.execute((BLOCK % table).encode())
    database.execute("SELECT pg_advisory_lock(1)")
    move = start_move(portal, url)
    try:
        process.wait_until(
            lambda: database.execute(IS_BLOCKED.encode()).fetchall() == [(1,)],
            process=move,
            log=log(portal),
            seconds=240,  # The migrations are slow, above all on a busy machine.
            what="the move",
        )
        yield move
    finally:
        database.execute("SELECT pg_advisory_unlock(1)")


def finish(move: subprocess.Popen[bytes], portal: Portal) -> tuple[str, int]:
    code = move.wait(240)
    return log(portal).read_text(), code


# --- refusals -------------------------------------------------------------------------------------


def test_a_database_with_the_data_of_another_portal_is_not_overwritten(
    database: psycopg.Connection[Any], postgres: PostgresServer
) -> None:
    database.execute("CREATE TABLE auth_user (id int)")
    database.execute("CREATE TABLE clients_clientapp (id int)")
    target = Target(postgres.url("moved"))
    target.check()  # Accepted, because all tables are empty.

    database.execute("INSERT INTO auth_user VALUES (1)")

    with pytest.raises(CannotMove, match="already contains a portal's data"):
        target.check()
    target.close()


def test_a_database_that_does_not_answer_is_named_in_the_error() -> None:
    with pytest.raises(CannotMove, match="cannot use the PostgreSQL database"):
        Target(f"postgresql://opsportal@127.0.0.1:{process.free_port()}/moved")


@pytest.mark.django_db
def test_a_file_of_another_version_is_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'errors'")

    with pytest.raises(CannotMove, match="belongs to another version"):
        steps.check_source()


@pytest.mark.django_db
def test_a_portal_that_has_been_moved_cannot_be_moved_again_by_mistake() -> None:
    notice = read_only.Notice(datetime(2026, 3, 1, tzinfo=UTC), 0.0, "db/ops", is_moved=True)
    read_only.turn_on(notice)
    try:
        with pytest.raises(CannotMove, match="already been moved to db/ops"):
            steps.check_source()
    finally:
        read_only.turn_off()
