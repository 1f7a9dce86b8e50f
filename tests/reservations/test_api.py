import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.clients.models import ApiKey, ClientApp, Scope
from reservations import services
from reservations.models import Reservation, TicketType
from tests.factories import make_app, make_event, make_payment, make_ticket_type

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


@pytest.fixture
def shop(app: ClientApp) -> Client:
    return client_of(app)


def client_of(app: ClientApp, *scopes: str) -> Client:
    _, secret = ApiKey.issue(app=app, scopes=list(scopes) or [Scope.RESERVATIONS])
    return Client(headers={"Authorization": f"Bearer {secret}"})


def post(
    client: Client, path: str, body: object = None, headers: dict[str, str] | None = None
) -> Any:
    return client.post(path, body, content_type="application/json", headers=headers)


def reserve(
    client: Client, type_: TicketType, quantity: int = 1, headers: dict[str, str] | None = None
) -> Any:
    body = {"items": [{"ticket_type": type_.pk, "quantity": quantity}], "customer": "c-1"}
    return post(client, "/api/v1/reservations/", body, headers)


def test_an_app_reserves_reads_and_completes_a_reservation(shop: Client) -> None:
    standing = make_ticket_type(10, price=2500)

    made = reserve(shop, standing, 2)

    assert made.status_code == 201
    said = made.json()
    assert (said["status"], said["amount"], said["currency"]) == ("active", 5000, "EUR")
    assert 895 <= said["seconds_left"] <= 900
    path = f"/api/v1/reservations/{said['id']}/"
    assert shop.get(path).json()["items"] == [
        {"ticket_type": standing.pk, "quantity": 2, "price": 2500}
    ]
    assert post(shop, path + "extend/").json()["extensions_left"] == 3
    done = post(shop, path + "complete/", {"paid_elsewhere": "invoice 12"})
    assert (done.status_code, done.json()["status"]) == (200, "completed")


def test_a_repeat_with_the_same_key_gets_the_first_reservation(shop: Client) -> None:
    standing = make_ticket_type(10)

    first = reserve(shop, standing, headers={"Idempotency-Key": "k-1"})
    again = reserve(shop, standing, headers={"X-Idempotency-Key": '"k-1"'})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    other = reserve(shop, standing, 2, headers={"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["type"]) == (422, "key-reused")


@pytest.mark.parametrize("key", ["", "é", "x" * 256, "a\tb"])
def test_an_invalid_key_is_rejected(shop: Client, key: str) -> None:
    assert reserve(shop, make_ticket_type(), headers={"Idempotency-Key": key}).status_code == 400


def test_two_different_keys_in_one_request_are_rejected(shop: Client) -> None:
    headers = {"Idempotency-Key": "a", "X-Idempotency-Key": "b"}

    assert reserve(shop, make_ticket_type(), headers=headers).status_code == 400


def test_a_sold_out_response_contains_the_tickets_left(shop: Client) -> None:
    standing = make_ticket_type(3)

    refused = reserve(shop, standing, 4)

    assert (refused.status_code, refused["Content-Type"]) == (409, "application/problem+json")
    assert (refused.json()["type"], refused.json()["left"]) == ("sold-out", 3)


def test_a_limit_response_contains_the_limit(shop: Client) -> None:
    standing = make_ticket_type(10, per_customer_limit=2)
    reserve(shop, standing, 2)

    refused = reserve(shop, standing, 1)

    assert refused.status_code == 409
    assert {"type": "limit", "limit": 2, "owned": 2}.items() <= refused.json().items()


def test_a_limit_per_customer_requires_a_customer(shop: Client) -> None:
    """Test that a customer is required, because anonymous customers would share one limit or have none."""
    limited = make_ticket_type(10, per_customer_limit=2)

    body = {"items": [{"ticket_type": limited.pk, "quantity": 1}]}
    refused = post(shop, "/api/v1/reservations/", body)

    assert (refused.status_code, refused.json()["type"]) == (422, "customer-missing")
    assert not Reservation.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("nonsense", 400),
        ("[]", 422),
        ('{"items": []}', 422),
        ('{"items": [{"ticket_type": 1, "quantity": 0}]}', 422),
        ('{"items": [{"ticket_type": 1, "quantity": true}]}', 422),
        ('{"items": [{"ticket_type": 1, "quantity": 1.5}]}', 422),
        ('{"items": [{"ticket_type": 1, "quantity": 1}, {"ticket_type": 1, "quantity": 1}]}', 422),
        ('{"items": [{"ticket_type": 99999, "quantity": 1}]}', 422),
        ('{"items": [{"ticket_type": 1, "quantity": 1}], "price": 1}', 422),
    ],
)
def test_invalid_input_is_a_4xx_and_changes_nothing(shop: Client, body: str, status: int) -> None:
    answer = shop.post("/api/v1/reservations/", body, content_type="application/json")

    assert answer.status_code == status
    assert not Reservation.objects.exists()


def test_requests_without_a_key_or_the_scope_are_rejected(app: ClientApp) -> None:
    standing = make_ticket_type()

    assert reserve(Client(), standing).status_code == 401
    assert reserve(client_of(app, Scope.INGEST), standing).status_code == 403
    assert Client().get("/api/v1/reservations/").status_code == 405


def test_an_app_does_not_see_another_apps_reservations(shop: Client) -> None:
    said = reserve(shop, make_ticket_type()).json()
    other = client_of(make_app())

    path = f"/api/v1/reservations/{said['id']}/"
    assert other.get(path).status_code == 404
    assert {
        post(other, path + verb).status_code for verb in ("extend/", "cancel/", "complete/")
    } == {404}
    assert shop.get(f"/api/v1/reservations/{uuid.uuid4()}/").status_code == 404


def test_an_overdue_hold_is_shown_expired_before_the_clean_up(shop: Client) -> None:
    said = reserve(shop, make_ticket_type()).json()
    Reservation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    path = f"/api/v1/reservations/{said['id']}/"
    assert shop.get(path).json()["status"] == "expired"
    refused = post(shop, path + "extend/")
    assert (refused.status_code, refused.json()["type"]) == (409, "expired")


def test_a_payment_completes_only_its_own_reservation(shop: Client, app: ClientApp) -> None:
    said = reserve(shop, make_ticket_type()).json()
    path = f"/api/v1/reservations/{said['id']}/complete/"
    other, open_ = make_payment(), make_payment(said["id"], status="processing")
    right = make_payment(said["id"])

    def complete(payment: uuid.UUID) -> Any:
        return post(shop, path, {"payment": str(payment)}).json()

    assert complete(uuid.uuid4())["type"] == "payment-missing"
    assert complete(other.uuid)["type"] == "payment-missing"
    assert complete(open_.uuid)["type"] == "payment-not-succeeded"
    assert complete(right.uuid)["status"] == "completed"


def test_an_email_address_is_stored_only_as_a_hash(shop: Client) -> None:
    body = {
        "items": [{"ticket_type": make_ticket_type().pk, "quantity": 1}],
        "customer": "Ann@Example.org ",
    }

    post(shop, "/api/v1/reservations/", body)

    customer = Reservation.objects.get().customer
    assert customer.startswith("email:")
    assert "ann" not in customer.lower()


def test_availability_is_304_when_it_has_not_changed(shop: Client) -> None:
    event = make_event("gala")
    standing = make_ticket_type(20, event=event, low_inventory_threshold=3)

    first = shop.get("/api/v1/availability/gala/")
    assert first.json()["ticket_types"][0]["left"] == 20
    assert shop.get("/api/v1/availability/").json()["events"][0]["event"] == "gala"
    again = shop.get("/api/v1/availability/gala/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert shop.get("/api/v1/availability/none/").status_code == 404
    assert standing.low_at == 3


def test_availability_changes_within_a_second(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = make_ticket_type(20, event=make_event("gala"))
    first = shop.get("/api/v1/availability/gala/")
    reserve(shop, standing, 18)

    monkeypatch.setattr("reservations.views.availability.FRESH_SECONDS", 0)
    second = shop.get("/api/v1/availability/gala/", headers={"If-None-Match": first["ETag"]})

    [offer] = second.json()["ticket_types"]
    assert (offer["left"], offer["is_low"]) == (2, True)


def test_stats_count_by_status(shop: Client) -> None:
    standing = make_ticket_type(20)
    reserve(shop, standing, 2)
    reserve(shop, standing, 3)
    services.cancel(reservation=Reservation.objects.latest("pk"), now=timezone.now())

    said = shop.get("/api/v1/reservations/stats/").json()

    assert {"active": 1, "cancelled": 1}.items() <= said["reservations"].items()
    assert {"active": 2, "cancelled": 3}.items() <= said["seats"].items()
    assert said["drift"] == []
