"""Test that the API lane returns exactly the responses that Django returns with all middleware."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import RequestFactory
from django.urls import reverse

from core.clients import auth, services
from core.clients.models import Scope
from core.lib import openapi, ratelimit
from core.lib.http import BadRequest
from core.limits import tiers
from core.limits.models import RateLimitTier, Tier
from opsportal.server import api_lane
from reservations.models import Reservation
from tests.factories import make_app, make_ticket_type

pytestmark = pytest.mark.django_db

CREATE = reverse("reservations:reservation-create")
AVAILABILITY = reverse("reservations:availability")
Application = Callable[[dict[str, Any], Callable[..., None]], Iterable[bytes]]
Response = tuple[str, dict[str, str], bytes]  # Status line, headers and body.


def call(
    application: Application, method: str, path: str, body: bytes, meta: dict[str, Any]
) -> Response:
    request = RequestFactory().generic(method, path, body, "application/json", **meta)
    started: list[Any] = []
    response = application(request.environ, lambda *arguments: started.extend(arguments))
    return started[0], dict(started[1]), b"".join(response)


def call_lane(method: str, path: str, body: bytes = b"", **meta: Any) -> Response:
    def fail(*_: object) -> list[bytes]:
        raise AssertionError("the lane passed the request on to Django")

    return call(api_lane.in_front_of(fail), method, path, body, meta)


def call_django(method: str, path: str, body: bytes = b"", **meta: Any) -> Response:
    return call(cast(Application, get_wsgi_application()), method, path, body, meta)


@pytest.fixture(autouse=True)
def keep_connection() -> Iterator[None]:
    """Clear the caches, and keep Django from closing the database connection after requests, as in the test client."""
    auth.forget_keys()
    ratelimit.memory.clear()
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def meta() -> dict[str, str]:
    _, secret = services.issue_api_key(app=make_app(), scopes=[Scope.RESERVATIONS])
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}", "HTTP_X_REQUEST_ID": "buyer-1234"}


def order_body(quantity: int = 1) -> bytes:
    standing = make_ticket_type(5)
    return json.dumps({"items": [{"ticket_type": standing.pk, "quantity": quantity}]}).encode()


def test_all_middleware_that_the_lane_leaves_out_is_in_the_settings() -> None:
    assert set(settings.MIDDLEWARE) > api_lane.ONLY_FOR_PAGES


def test_the_lane_has_the_operations_that_apps_call_frequently() -> None:
    openapi.registry.autodiscover()
    frequent = {operation.url for operation in openapi.registry if operation.is_frequent}

    assert frequent == {
        "otlp:logs",
        "otlp:metrics",
        "otlp:traces",
        "payments:payment-create",
        "reservations:availability",
        "reservations:reservation-create",
    }


def test_django_repeats_the_response_to_a_reservation_made_in_the_lane(
    meta: dict[str, str],
) -> None:
    body, again = order_body(), {**meta, "HTTP_IDEMPOTENCY_KEY": "k"}

    created, repeated, django = (
        call_lane("POST", CREATE, body, **again),
        call_lane("POST", CREATE, body, **again),
        call_django("POST", CREATE, body, **again),
    )

    assert created[0] == "201 Created"
    assert created[1]["X-Request-ID"] == "buyer-1234"
    assert repeated[0] == django[0] == "200 OK"
    assert repeated[2] == django[2]
    assert without_counters(repeated[1]) == without_counters(django[1])
    assert repeated[1].keys() == django[1].keys()
    assert Reservation.objects.count() == 1


def without_counters(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("X-RateLimit-R")}


@pytest.mark.parametrize(
    ("method", "path", "body", "more", "status"),
    [
        ("POST", CREATE, b"{", {}, 400),
        ("POST", CREATE, b'{"items": []}', {}, 422),
        ("POST", CREATE, b'{"items": [{"ticket_type": 1, "quantity": 1}]}', {}, 422),
        ("POST", CREATE, b"", {"HTTP_AUTHORIZATION": ""}, 401),
        ("POST", CREATE, b"", {"HTTP_AUTHORIZATION": "Bearer ops_other"}, 403),
        ("GET", CREATE, b"", {}, 405),
        ("POST", CREATE, b"", {"HTTP_HOST": "elsewhere.example"}, 400),
        ("POST", CREATE, b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1), {}, 413),
        ("GET", AVAILABILITY, b"", {}, 200),
        ("GET", AVAILABILITY, b"", {"HTTP_IF_NONE_MATCH": "*"}, 304),
        ("GET", AVAILABILITY, b"", {"QUERY_STRING": "a=%00"}, 400),
        ("DELETE", AVAILABILITY, b"", {}, 405),
    ],
)
def test_every_other_response_is_the_same_in_the_lane_and_in_django(
    meta: dict[str, str], method: str, path: str, body: bytes, more: dict[str, str], status: int
) -> None:
    given = {**meta, **more}

    lane, django = (
        call_lane(method, path, body, **given),
        call_django(method, path, body, **given),
    )

    assert (lane[0], lane[2]) == (django[0], django[2])
    assert lane[0].startswith(str(status))
    assert without_counters(lane[1]) == without_counters(django[1])
    assert lane[1].keys() == django[1].keys()


def test_requests_in_the_lane_and_in_django_count_against_the_same_limit(
    meta: dict[str, str],
) -> None:
    RateLimitTier.objects.update_or_create(
        tier=Tier.READ, app=None, defaults={"limit": 4, "window_seconds": 60}
    )
    tiers.read_limits()
    try:
        responses = [
            send("GET", AVAILABILITY, b"", **meta) for send in (call_lane, call_django) * 3
        ]
    finally:
        RateLimitTier.objects.all().delete()
        tiers.read_limits()

    statuses = [status[:3] for status, _, _ in responses]
    assert "429" in statuses
    refused = responses[statuses.index("429")]
    assert json.loads(refused[2])["retryAfter"] > 0


def test_a_refusal_raised_by_a_view_keeps_its_status(
    meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: object) -> None:
        raise BadRequest("no such seat", 422)

    monkeypatch.setattr("reservations.services.reserve", refuses)
    body = order_body()

    lane, django = (
        call_lane("POST", CREATE, body, **meta),
        call_django("POST", CREATE, body, **meta),
    )

    assert lane[0] == django[0] == "422 Unprocessable Entity"
    assert lane[2] == django[2]


def test_an_unexpected_error_is_a_500_with_the_request_id(
    meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("reservations.services.reserve", fails)
    body = order_body()

    lane, django = (
        call_lane("POST", CREATE, body, **meta),
        call_django("POST", CREATE, body, **meta),
    )

    assert lane[0] == django[0] == "500 Internal Server Error"
    assert json.loads(lane[2])["request_id"] == "buyer-1234"
    assert lane[2] == django[2]
