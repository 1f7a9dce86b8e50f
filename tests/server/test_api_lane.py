"""The API lane answers exactly as Django does with all of its middleware."""

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
from core.lib import ratelimit
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
Said = tuple[str, dict[str, str], bytes]


def call(
    application: Application, method: str, path: str, body: bytes, meta: dict[str, Any]
) -> Said:
    request = RequestFactory().generic(method, path, body, "application/json", **meta)
    started: list[Any] = []
    answer = application(request.environ, lambda *said: started.extend(said))
    return started[0], dict(started[1]), b"".join(answer)


def lane(method: str, path: str, body: bytes = b"", **meta: Any) -> Said:
    def handed_on(*_: object) -> list[bytes]:
        raise AssertionError("not in the lane")

    return call(api_lane.in_front_of(handed_on), method, path, body, meta)


def stack(method: str, path: str, body: bytes = b"", **meta: Any) -> Said:
    return call(cast(Application, get_wsgi_application()), method, path, body, meta)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """As the test client does: the end of a request must not take the test's connection away."""
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


def order(quantity: int = 1) -> bytes:
    standing = make_ticket_type(5)
    return json.dumps({"items": [{"ticket_type": standing.pk, "quantity": quantity}]}).encode()


def test_what_it_leaves_out_is_named_as_in_the_settings() -> None:
    assert set(settings.MIDDLEWARE) > api_lane.ONLY_FOR_PAGES


def test_a_reservation_made_in_the_lane_is_repeated_by_the_stack(meta: dict[str, str]) -> None:
    body, again = order(), {**meta, "HTTP_IDEMPOTENCY_KEY": "k"}

    made, repeated, elsewhere = (
        lane("POST", CREATE, body, **again),
        lane("POST", CREATE, body, **again),
        stack("POST", CREATE, body, **again),
    )

    assert made[0] == "201 Created"
    assert made[1]["X-Request-ID"] == "buyer-1234"
    assert repeated[0] == elsewhere[0] == "200 OK"
    assert repeated[2] == elsewhere[2]
    assert without_counters(repeated[1]) == without_counters(elsewhere[1])
    assert repeated[1].keys() == elsewhere[1].keys()
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
def test_every_other_answer_is_the_same(
    meta: dict[str, str], method: str, path: str, body: bytes, more: dict[str, str], status: int
) -> None:
    given = {**meta, **more}

    fast, slow = lane(method, path, body, **given), stack(method, path, body, **given)

    assert (fast[0], fast[2]) == (slow[0], slow[2])
    assert fast[0].startswith(str(status))
    assert without_counters(fast[1]) == without_counters(slow[1])
    assert fast[1].keys() == slow[1].keys()


def test_both_count_against_one_limit(meta: dict[str, str]) -> None:
    RateLimitTier.objects.update_or_create(
        tier=Tier.READ, app=None, defaults={"limit": 4, "window_seconds": 60}
    )
    tiers.read_limits()
    try:
        answers = [each("GET", AVAILABILITY, b"", **meta) for each in (lane, stack) * 3]
    finally:
        RateLimitTier.objects.all().delete()
        tiers.read_limits()

    statuses = [status[:3] for status, _, _ in answers]
    assert "429" in statuses
    refused = answers[statuses.index("429")]
    assert json.loads(refused[2])["retryAfter"] > 0


def test_a_refusal_that_a_view_raises_has_its_own_status(
    meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: object) -> None:
        raise BadRequest("no such seat", 422)

    monkeypatch.setattr("reservations.services.reserve", refuses)
    body = order()

    fast, slow = lane("POST", CREATE, body, **meta), stack("POST", CREATE, body, **meta)

    assert fast[0] == slow[0] == "422 Unprocessable Entity"
    assert fast[2] == slow[2]


def test_a_fault_of_ours_is_a_500_with_the_requests_id(
    meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("reservations.services.reserve", fails)
    body = order()

    fast, slow = lane("POST", CREATE, body, **meta), stack("POST", CREATE, body, **meta)

    assert fast[0] == slow[0] == "500 Internal Server Error"
    assert json.loads(fast[2])["request_id"] == "buyer-1234"
    assert fast[2] == slow[2]
