"""What the portal says while what it stands on is taken away: real PostgreSQL, real Redis, the portal as it really runs."""

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

# 200 ms is the promise; test machines are busy with other things at the same time.
QUICK = 1.5


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """One that may be killed."""
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
    own_postgres.start()  # a failed test may leave it killed, and stopping drops a database
    portal.stop()


def until(portal: Portal, expected: Callable[[httpx.Response], bool], seconds: float) -> float:
    """Ask /health until it says so; returns how long the slowest answer took."""
    slowest, deadline = 0.0, time.monotonic() + seconds
    while True:
        began = time.monotonic()
        answer = portal.client.get("/health")
        slowest = max(slowest, time.monotonic() - began)
        if expected(answer):
            return slowest
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.25)


def status(name: str, word: str, code: int) -> Callable[[httpx.Response], bool]:
    return lambda answer: (
        answer.status_code == code and answer.json()["checks"][name]["status"] == word
    )


def test_redis_and_then_postgresql_are_taken_away_and_come_back(
    portal: Portal, own_postgres: PostgresServer, redis_server: RedisServer, fake: FakeHTTP
) -> None:
    slowest = [until(portal, status("database", "healthy", 200), 30)]
    slowest.append(until(portal, status("cache", "healthy", 200), 30))
    assert portal.client.get("/status/").status_code == 200

    redis_server.kill()
    slowest.append(until(portal, status("cache", "unhealthy", 200), 30))
    assert portal.client.get("/health").json()["status"] == "degraded"
    assert portal.client.get("/readyz").status_code == 503
    redis_server.start()
    slowest.append(until(portal, status("cache", "healthy", 200), 30))
    assert portal.client.get("/readyz").status_code == 200

    own_postgres.kill()
    slowest.append(until(portal, status("database", "unhealthy", 503), 30))
    assert portal.client.get("/livez").status_code == 200
    assert portal.client.get("/readyz").json()["failing"] == ["database"]
    for _ in range(3):  # a page does not wait for it again and again
        answer = portal.client.get("/admin/system-health/", headers=portal.staff)
        assert (answer.status_code, answer.elapsed.total_seconds() < 6) == (503, True)
    page = portal.client.get("/status/")
    assert page.status_code == 200
    deadline = time.monotonic() + 40
    while "Current status unavailable" not in portal.client.get("/status/").text:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "opsportal_database_up 0.0" in portal.client.get("/metrics").text
    [told] = fake.wait_for(1, seconds=90)
    assert "database is down" in told.body.decode()

    own_postgres.start()
    slowest.append(until(portal, status("database", "healthy", 200), 60))
    deadline = time.monotonic() + 60
    while not portal.value("SELECT count(*) FROM health_incident WHERE resolved_at IS NOT NULL"):
        assert time.monotonic() < deadline, "the outage was not written down"
        time.sleep(0.5)
    assert portal.value("SELECT state FROM alerts_systemalert WHERE key = 'health:database'") == (
        "resolved"
    )
    assert len(fake.requests) == 1
    assert max(slowest) < QUICK
