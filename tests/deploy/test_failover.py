"""Test that no acknowledged write is lost or stored twice when the primary of deploy/ha is killed or disconnected.

The test also checks that rate limits hold, and that scheduled jobs and continuous tasks continue.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.database_hosts import missing_programs
from tests.deploy.drill import Drill
from tests.deploy.ha import NAMES, HighAvailability
from tests.deploy.hosts import Network
from tests.deploy.load import ACCEPTABLE, SET_LIMITS, Load
from tests.servers import process
from tests.servers.portal import Template
from tests.two_runs import in_the_postgresql_run

SEED = f"""{SET_LIMITS}
from reservations.models import Event, TicketType
event = Event.objects.create(name="Concert", slug="concert")
print(TicketType.objects.create(event=event, name="Seat", capacity=1000000).pk)
"""


@pytest.fixture
def ha(portal_template: Template) -> Iterator[HighAvailability]:
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with Network(NAMES) as network:
        if network.kind != "network namespaces":
            pytest.skip("network namespaces require root")
        # The user who runs the database servers cannot access pytest's folder.
        folder = Path(tempfile.mkdtemp(prefix="opsportal-failover-"))
        ha = HighAvailability(
            network, folder, has_pgbouncer=True, template_url=portal_template.postgres_url
        )
        try:
            yield ha
        finally:
            ha.close()
            process.remove(folder)


@in_the_postgresql_run
@pytest.mark.servers
@pytest.mark.slow
def test_no_acknowledged_write_is_lost_when_the_primary_is_killed_or_disconnected(
    ha: HighAvailability, portal_template: Template
) -> None:
    ticket_type = int(ha.manage("shell", "-v0", "-c", SEED).splitlines()[-1])
    load = Load(
        ha.url,
        portal_template.seeded.api_key,
        ticket_type,
        has_payments=True,
        exceeds_limits=True,
        timeout_seconds=4,
    )
    load.start()
    ha.wait_until(lambda: len(load.acknowledged) == 4, "the first acknowledgments")
    ha.wait_until(lambda: load.limited == ACCEPTABLE.keys(), "the limits to be reached")
    drill = Drill(ha, load)

    ha.fail_over_redis()
    late_tasks = []
    for action in ("partition", "host"):
        drill.round(action)
        late_tasks += drill.late_tasks()
    load.stop()

    for path, (count, lost, doubled) in drill.lost_and_doubled().items():
        assert count > 5, path
        assert (lost, doubled) == (0, 0), path
    assert drill.split_brains == []
    accepted = load.most_accepted()
    assert {path: n for path, n in accepted.items() if n > ACCEPTABLE[path]} == {}
    assert len(drill.due_jobs) > 6
    assert (late_tasks, drill.repeated_runs()) == ([], [])
    assert load.refused == []
