"""Send events to a running portal, and check how it stored them."""

import uuid
from typing import Any

import httpx
import pytest
from django.db import connection

from tests.errors.support import envelope, raised
from tests.servers.portal import Portal

needs_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="runs only on PostgreSQL"
)
needs_sqlite = pytest.mark.skipif(connection.vendor == "postgresql", reason="runs only on SQLite")


def url_of(portal: Portal) -> str:
    return f"/api/{portal.seeded.app_id}/envelope/?sentry_key={portal.public_key}"


def post(portal: Portal, timeout: float = 10, **more: Any) -> tuple[str, httpx.Response]:
    event_id = uuid.uuid4().hex
    body = envelope(raised(event_id=event_id, **more))
    # Use each connection for one request only: the server closes a connection after a slow response, and a client that
    # reused the connection would fail.
    alone = {"Connection": "close"}
    return event_id, portal.client.post(
        url_of(portal), content=body, headers=alone, timeout=timeout
    )


def stored(portal: Portal) -> set[str]:
    rows = portal.rows("SELECT event_id FROM errors_errorevent")
    return {uuid.UUID(str(event_id)).hex for (event_id,) in rows}


def assert_stored_exactly(portal: Portal, acknowledged: set[str]) -> None:
    """Assert that all acknowledged events are stored, and that all counts match the number of stored events."""
    kept = stored(portal)
    assert not acknowledged - kept
    assert portal.value("SELECT sum(event_count) FROM errors_errorgroup") == len(kept)
    assert portal.value("SELECT sum(count) FROM errors_minutecount") == len(kept)
    assert portal.value("SELECT count(*) FROM errors_eventpayload") == len(kept)


def assert_is_retryable_503(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
