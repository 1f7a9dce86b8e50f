"""Test that a worker cluster survives a database restart and then runs the queued tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.serving import Serving
from tests.servers.portal import Portal, make_template
from tests.servers.postgres import PostgresServer
from tests.two_runs import in_the_postgresql_run

pytestmark = [in_the_postgresql_run, pytest.mark.servers]


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    # A separate server, because the test kills it, and other tests need the shared one.
    server = PostgresServer()
    yield server
    server.stop()


def test_work_continues_after_the_database_was_killed_and_restarted(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "template").mkdir()
    (tmp_path / "portal").mkdir()
    portal = Portal(make_template(tmp_path / "template", own_postgres.url()), tmp_path / "portal")
    serving = Serving(portal, "--no-web")
    try:
        serving.wait_until_up()
        before = serving.wait_for_cluster()
        notes = tmp_path / "notes"
        serving.enqueue("tests.jobs.probe.note", path=str(notes), text="before")
        portal.wait_for(notes.exists, 40, "the first note")

        own_postgres.kill()
        serving.portal.wait_for(
            lambda: "cannot query the database" in serving.log.read_text(), 20, "the outage"
        )
        own_postgres.start()

        serving.enqueue("tests.jobs.probe.note", path=str(notes), text="after")
        portal.wait_for(lambda: "after" in notes.read_text(), 60, "the second note")
        assert notes.read_text().split() == ["before", "after"]
        assert serving.wait_for_cluster().sentinel == before.sentinel, "the cluster was restarted"
    finally:
        serving.stop()
        portal.stop()
