"""Test the running portal while a real PostgreSQL or Redis server is down."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import Portal, make_template
from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer
from tests.two_runs import in_the_postgresql_run

pytestmark = in_the_postgresql_run

# On production machines, the limit is 200 ms. Test machines are shared and slower.
MAX_SECONDS = 1.5


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """Run a separate PostgreSQL server, which the test can kill."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def portal(
    own_postgres: PostgresServer, redis_server: RedisServer, fake: FakeHTTP, tmp_path: Path
) -> Iterator[Portal]:
    (tmp_path / "template").mkdir()
    (tmp_path / "data").mkdir()
    template = make_template(tmp_path / "template", own_postgres.url())
    fake.answer(200, body=b"ok", times=None)
    portal = Portal(
        template,
        tmp_path / "data",
        redis_url=redis_server.url(),
        environment={
            "HEALTH_FRESH_SECONDS": "1",
            "SLACK_WEBHOOK_URL": f"{fake.url}/services/T/B/x",
            "ALLOW_PRIVATE_URLS": "127.0.0.1",
        },
    )
    portal.start()
    yield portal
    own_postgres.kill()
    # Stopping the portal drops its database, which needs a server, even if a failed test has left it killed.
    own_postgres.start()
    portal.stop()


def poll_health(
    portal: Portal, expected: Callable[[httpx.Response], bool], seconds: float
) -> float:
    """Poll /health until `expected(response)` is true. Return the slowest response's duration in seconds."""
    slowest, deadline = 0.0, time.monotonic() + seconds
    while True:
        started = time.monotonic()
        response = portal.client.get("/health")
        slowest = max(slowest, time.monotonic() - started)
        if expected(response):
            return slowest
        assert time.monotonic() < deadline, response.text
        time.sleep(0.25)


def has_status(name: str, status: str, code: int) -> Callable[[httpx.Response], bool]:
    return lambda response: (
        response.status_code == code and response.json()["checks"][name]["status"] == status
    )


def test_the_portal_survives_outages_of_redis_and_postgresql(
    portal: Portal, own_postgres: PostgresServer, redis_server: RedisServer, fake: FakeHTTP
) -> None:
    slowest = [poll_health(portal, has_status("database", "healthy", 200), 30)]
    slowest.append(poll_health(portal, has_status("cache", "healthy", 200), 30))
    assert portal.client.get("/status/").status_code == 200

    redis_server.kill()
    slowest.append(poll_health(portal, has_status("cache", "unhealthy", 200), 30))
    assert portal.client.get("/health").json()["status"] == "degraded"
    assert portal.client.get("/readyz").status_code == 503
    redis_server.start()
    slowest.append(poll_health(portal, has_status("cache", "healthy", 200), 30))
    assert portal.client.get("/readyz").status_code == 200

    own_postgres.kill()
    slowest.append(poll_health(portal, has_status("database", "unhealthy", 503), 30))
    assert portal.client.get("/livez").status_code == 200
    assert portal.client.get("/readyz").json()["failing"] == ["database"]
    for _ in range(3):  # Not every request may wait for the database.
        response = portal.client.get("/admin/system-health/", headers=portal.staff)
        assert (response.status_code, response.elapsed.total_seconds() < 6) == (503, True)
    page = portal.client.get("/status/")
    assert page.status_code == 200
    deadline = time.monotonic() + 40
    while "Current status unavailable" not in portal.client.get("/status/").text:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "opsportal_database_up 0.0" in portal.client.get("/metrics").text
    [message] = fake.wait_for(1, seconds=90)
    assert "database is down" in message.body.decode()

    own_postgres.start()
    slowest.append(poll_health(portal, has_status("database", "healthy", 200), 60))
    deadline = time.monotonic() + 60
    while not portal.value("SELECT count(*) FROM health_incident WHERE resolved_at IS NOT NULL"):
        assert time.monotonic() < deadline, "the outage was not recorded"
        time.sleep(0.5)
    assert portal.value("SELECT state FROM alerts_systemalert WHERE key = 'health:database'") == (
        "resolved"
    )
    assert len(fake.requests) == 1
    assert max(slowest) < MAX_SECONDS
