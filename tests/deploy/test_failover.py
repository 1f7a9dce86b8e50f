"""Test that no acknowledged write is lost or stored twice when the primary of deploy/ha is killed or disconnected."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.drill import Drill
from tests.deploy.ha import NAMES, HighAvailability, missing_programs
from tests.deploy.hosts import Network
from tests.deploy.load import Load
from tests.servers import process
from tests.servers.portal import Template
from tests.two_runs import in_the_postgresql_run

SEED = """
from core.limits.models import RateLimitTier
from reservations.models import Event, TicketType
RateLimitTier.objects.update(limit=100000)
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
def test_no_acknowledged_write_is_lost_when_the_primary_is_killed_or_separated(
    ha: HighAvailability, portal_template: Template
) -> None:
    ticket_type = int(ha.manage("shell", "-v0", "-c", SEED).splitlines()[-1])
    load = Load(
        ha.url, portal_template.seeded.api_key, ticket_type, has_payments=True, timeout_seconds=4
    )
    load.start()
    ha.wait_until(lambda: len(load.acknowledged) == 4, "the first acknowledgments")
    drill = Drill(ha, load)

    drill.round("partition")
    drill.round("host")
    load.stop()

    for path, (count, lost, doubled) in drill.lost_and_doubled().items():
        assert count > 5, path
        assert (lost, doubled) == (0, 0), path
    assert drill.split_brains == []
    assert load.refused == []
