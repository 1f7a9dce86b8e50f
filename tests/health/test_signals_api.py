"""Test POST /api/v1/signals/."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.clients.models import ApiKey, ClientApp, ClientKey, Scope
from health.models import ActiveUser, Latency, SignalBatch, Tier, Value
from health.queries.usage import RequestCount, request_counts
from tests.factories import make_app

pytestmark = pytest.mark.django_db
URL = "/api/v1/signals/"
SIGNALS: list[dict[str, Any]] = [
    {"type": "performance", "name": "checkout", "duration_ms": 320},
    {"type": "performance", "name": "GET /", "duration_ms": 40, "kind": "request", "count": 3},
    {"type": "delivery", "channel": "sms", "outcome": "failed", "count": 2},
    {"type": "activity", "user": "u-1"},
    {"type": "gauge", "name": "credit_balance", "value": 90},
    {"type": "counter", "name": "tickets_sold", "value": 4},
]


@pytest.fixture
def app() -> ClientApp:
    return make_app()


def post(client: Client, app: ClientApp, body: object) -> Any:
    _, secret = ApiKey.issue(app=app, scopes=[Scope.METRICS])
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(
        URL, data, content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )


def test_a_batch_with_every_kind_of_signal_is_recorded(client: Client, app: ClientApp) -> None:
    response = post(client, app, {"signals": SIGNALS})

    assert (response.status_code, response.json()) == (202, {"accepted": 6, "duplicate": False})
    now = timezone.now()
    since = now - timedelta(hours=1)
    assert request_counts(since, now) == [RequestCount(app.name, "", total=3, failed=0, measured=3)]
    assert Latency.objects.get(series__name="checkout", tier=Tier.DAY).count == 1
    assert Value.objects.get(series__name="sms.failed", tier=Tier.DAY).total == 2
    assert ActiveUser.objects.user_count() == 1


def test_a_dsn_key_is_accepted(client: Client, app: ClientApp) -> None:
    key = ClientKey.objects.create(app=app)
    response = client.post(
        URL,
        {"signals": SIGNALS},
        content_type="application/json",
        headers={"X-API-Key": key.public_key},
    )
    assert response.status_code == 202


def test_a_repeated_batch_is_recorded_once(client: Client, app: ClientApp) -> None:
    first = post(client, app, {"batch_id": "b-1", "signals": SIGNALS})
    again = post(client, app, {"batch_id": "b-1", "signals": SIGNALS})
    other = post(client, make_app(), {"batch_id": "b-1", "signals": SIGNALS})

    assert [r.status_code for r in (first, again, other)] == [202, 200, 202]
    assert again.json()["duplicate"] is True
    counter = Value.objects.get(series__app=app, series__name="tickets_sold", tier=Tier.DAY)
    assert counter.total == 4
    assert SignalBatch.objects.count() == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "performance", "name": "x", "duration_ms": -1},
        {"type": "performance", "name": "", "duration_ms": 1},
        {"type": "performance", "name": "x", "duration_ms": "fast"},
        {"type": "delivery", "channel": "fax", "outcome": "sent"},
        {"type": "nonsense"},
        {"type": "gauge", "name": "x" * 201, "value": 1},
        {"type": "activity", "user": "u", "at": "2026-01-01T00:00:00"},
        7,
        None,
    ],
)
def test_an_invalid_signal_is_reported_by_index_and_nothing_is_recorded(
    client: Client, app: ClientApp, bad: object
) -> None:
    response = post(client, app, {"signals": [*SIGNALS, bad, SIGNALS[0]]})

    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["index"] == len(SIGNALS)
    assert not Latency.objects.exists()


@pytest.mark.parametrize("body", ["", "{", "[]", '{"signals": 3}', '{"signals": [NaN]}', b"\xff"])
def test_an_invalid_body_is_rejected(client: Client, app: ClientApp, body: str) -> None:
    assert post(client, app, body).status_code in (400, 422)


def test_the_batch_size_and_the_app_quota_are_limited(
    client: Client, app: ClientApp, settings: Settings
) -> None:
    assert post(client, app, {"signals": [SIGNALS[0]] * 1001}).status_code == 413

    settings.SIGNALS_PER_MINUTE = 10
    assert post(client, app, {"signals": SIGNALS}).status_code == 202
    refused = post(client, app, {"signals": SIGNALS})
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert post(client, make_app(), {"signals": SIGNALS}).status_code == 202


def test_a_key_with_the_scope_is_required(client: Client, app: ClientApp) -> None:
    _, secret = ApiKey.issue(app=app, scopes=[Scope.PAYMENTS])
    assert client.post(URL, "{}", content_type="application/json").status_code == 401
    response = client.post(
        URL, "{}", content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )
    assert response.status_code == 403
    assert client.get(URL).status_code == 405
