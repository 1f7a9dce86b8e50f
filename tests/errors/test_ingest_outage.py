"""Test that the portal receives events with known keys while the database is unavailable."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from errors.ingest import authentication, handler
from errors.ingest.authentication import KeyCache, key_cache
from errors.store.write import BatchResult
from errors.store.writer import writer
from tests.errors.support import Sender, envelope, raised

pytestmark = pytest.mark.django_db

ERROR = json.dumps({"message": "boom"}).encode()


@pytest.fixture
def sender() -> Sender:
    """Return a sender whose key a Sentry endpoint and the portal's own endpoint have already accepted."""
    sender = Sender()
    assert key_cache.authenticate(sender.app.pk, sender.key)
    assert key_cache.authenticate(None, sender.key)
    return sender


@pytest.fixture
def outage(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each query for a key raise a database error, or an AssertionError if it runs in the event loop."""

    def query(*_: object) -> None:
        assert not in_event_loop(), "a query in the event loop blocks all clients"
        raise OperationalError("the server closed the connection unexpectedly")

    async def store(parse: Callable[[], list[Any]], _size_bytes: int) -> BatchResult:
        assert parse()
        return BatchResult()

    monkeypatch.setattr(authentication, "TRUSTED_SECONDS", 0.0)
    monkeypatch.setattr(KeyCache, "_query", query)
    monkeypatch.setattr(writer, "store", store)


def in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def post(path: str, body: bytes, **headers: str) -> int:
    """Post `body` to `path` in an event loop, and return the status of the response."""
    address = handler.match(path)
    assert address is not None

    async def read_body(_limit: int) -> bytes:
        return body

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, **headers}
    return asyncio.run(handler.handle(environ, address, read_body)).status


def test_plain_errors_are_received(sender: Sender, outage: None) -> None:
    assert post("/api/v1/errors/", ERROR, HTTP_AUTHORIZATION=f"Bearer {sender.key}") == 200


def test_errors_are_received_after_a_change_of_another_key(sender: Sender, outage: None) -> None:
    key_cache.distrust()

    assert post("/api/v1/errors/", ERROR, HTTP_AUTHORIZATION=f"Bearer {sender.key}") == 200


@pytest.mark.parametrize("endpoint", ["envelope", "store"])
@pytest.mark.parametrize("size_bytes", [10, 100_000])  # Only large bodies are parsed in a thread.
def test_events_from_sdks_are_received(
    sender: Sender, outage: None, endpoint: str, size_bytes: int
) -> None:
    event = raised(extra={"text": "x" * size_bytes})
    body = envelope(event) if endpoint == "envelope" else json.dumps(event).encode()

    path = f"/api/{sender.app.pk}/{endpoint}/"
    assert post(path, body, HTTP_X_SENTRY_AUTH=sender.auth["X-Sentry-Auth"]) == 200


def test_an_envelope_whose_dsn_is_the_only_key_is_received(sender: Sender, outage: None) -> None:
    body = envelope(
        raised(), header={"dsn": f"https://{sender.key}@portal.example/{sender.app.pk}"}
    )

    assert post(f"/api/{sender.app.pk}/envelope/", body) == 200
    assert post("/tunnel/", body) == 200


def test_browser_reports_are_received(sender: Sender, outage: None) -> None:
    report = {
        "csp-report": {
            "blocked-uri": "https://ads.example/x.js",
            "effective-directive": "script-src",
        }
    }

    path = f"/api/{sender.app.pk}/security/"
    assert post(path, json.dumps(report).encode(), QUERY_STRING=f"sentry_key={sender.key}") == 200


def test_a_key_that_was_never_accepted_gets_503(sender: Sender, outage: None) -> None:
    assert post("/api/v1/errors/", ERROR, HTTP_AUTHORIZATION="Bearer never-seen") == 503
