import uuid
from typing import Any

import msgspec
import pytest
from django.test import Client
from pytest_django import Settings

from core.clients.models import ApiKey, ClientApp, Scope
from payments.hooks import api_operations
from payments.models import Payment
from tests.factories import make_app, make_payment
from tests.payments.stripe_double import Fault, StripeDouble

pytestmark = pytest.mark.django_db
PATH = "/api/v1/payments/"


def client_of(app: ClientApp, *scopes: str) -> Client:
    _, secret = ApiKey.issue(app=app, scopes=list(scopes) or [Scope.PAYMENTS])
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


@pytest.fixture
def shop(app: ClientApp) -> Client:
    return client_of(app)


def post(client: Client, body: object, path: str = PATH, **headers: str) -> Any:
    return client.post(
        path,
        body,
        content_type="application/json",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


BODY = {"amount": 2500, "currency": "eur", "order_id": "o-1", "customer": "ann@example.org"}


def test_an_app_creates_reads_and_cancels_a_payment(stripe: StripeDouble, shop: Client) -> None:
    made = post(shop, BODY, Idempotency_Key="k-1")

    assert (made.status_code, made["Idempotency-Key"]) == (201, "k-1")
    created = made.json()
    assert created["client_secret"].startswith(created["intent"])
    assert (created["amount"], created["currency"], created["status"]) == (
        2500,
        "EUR",
        "requires_payment_method",
    )
    path = f"{PATH}{created['id']}/"
    read = shop.get(path).json()
    assert read["intent"] == created["intent"]
    assert "client_secret" not in read
    assert post(shop, None, path + "cancel/").json()["status"] == "canceled"
    assert post(shop, None, path + "cancel/").status_code == 200
    assert stripe.intents()[0]["status"] == "canceled"


def test_a_payment_without_an_intent_is_as_described(stripe: StripeDouble, shop: Client) -> None:
    stripe.faults.append(Fault("status", 402))
    refused = post(shop, BODY, Idempotency_Key="k-1").json()

    read = shop.get(f"{PATH}{refused['payment']}/")

    described = msgspec.json.decode(read.content, type=api_operations.Payment)
    assert (described.status, described.intent) == ("refused", None)


def test_a_repeat_gets_an_identical_response(stripe: StripeDouble, shop: Client) -> None:
    first = post(shop, BODY, Idempotency_Key="k-1")
    again = post(shop, BODY, X_Idempotency_Key='"k-1"')

    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first


def test_another_body_with_the_same_key_gets_a_422(stripe: StripeDouble, shop: Client) -> None:
    post(shop, BODY, Idempotency_Key="k-1")

    other = post(shop, {**BODY, "amount": 2600}, Idempotency_Key="k-1")

    assert (other.status_code, other.json()["type"]) == (422, "key-reused")


def test_without_a_key_one_is_generated_and_returned(stripe: StripeDouble, shop: Client) -> None:
    first, second = post(shop, BODY), post(shop, BODY)

    assert uuid.UUID(first["Idempotency-Key"])
    assert first["Idempotency-Key"] != second["Idempotency-Key"]
    assert len(stripe.intents()) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"amount": True}, 422),
        ({"amount": 25.0}, 422),
        ({"amount": "2500"}, 422),
        ({"amount": 0}, 422),
        ({"amount": -1}, 422),
        ({"amount": 49}, 422),
        ({"amount": 10**12}, 422),
        ({"amount": 10**40}, 422),
        ({"currency": "XXX"}, 422),
        ({"currency": "EURO"}, 422),
        ({"metadata": {"ops_payment": "mine"}}, 422),
        ({"reservation_id": "12"}, 422),
        ({"capture": True}, 422),
    ],
)
def test_invalid_input_is_rejected_and_uses_up_no_key(
    stripe: StripeDouble, shop: Client, change: dict[str, object], status: int
) -> None:
    assert post(shop, {**BODY, **change}, Idempotency_Key="k").status_code == status
    assert not Payment.objects.exists()
    assert post(shop, BODY, Idempotency_Key="k").status_code == 201


def test_each_currency_has_its_own_minimum(
    stripe: StripeDouble, shop: Client, settings: Settings
) -> None:
    settings.PAYMENT_CURRENCIES = ["EUR", "JPY", "KWD"]

    assert post(shop, {"amount": 50, "currency": "JPY"}).status_code == 201
    refused = post(shop, {"amount": 49, "currency": "JPY"})
    assert "50 JPY" in refused.json()["detail"]
    assert post(shop, {"amount": 1005, "currency": "KWD"}).status_code == 422
    assert post(shop, {"amount": 1000, "currency": "KWD"}).status_code == 201


def test_an_outage_leads_to_a_503_with_retry_after(stripe: StripeDouble, shop: Client) -> None:
    stripe.faults.append(Fault("drop_before", times=2))

    refused = post(shop, BODY, Idempotency_Key="k")

    assert (refused.status_code, refused.json()["type"]) == (503, "stripe-unavailable")
    assert int(refused["Retry-After"]) >= 1
    assert post(shop, BODY, Idempotency_Key="k").status_code == 201


def test_a_declined_card_is_a_problem_document_and_is_replayed(
    stripe: StripeDouble, shop: Client
) -> None:
    stripe.faults.append(Fault("status", 402))

    first = post(shop, BODY, Idempotency_Key="k")
    again = post(shop, BODY, Idempotency_Key="k")

    assert (first.status_code, first["Content-Type"]) == (402, "application/problem+json")
    assert (again.status_code, again.content) == (402, first.content)


def test_without_a_stripe_key_the_api_responds_not_configured(shop: Client) -> None:
    refused = post(shop, BODY)

    assert (refused.status_code, refused.json()["type"]) == (503, "not-configured")


def test_requests_without_a_key_or_the_scope_are_rejected(
    stripe: StripeDouble, app: ClientApp
) -> None:
    assert post(Client(), BODY).status_code == 401
    assert post(client_of(app, Scope.RESERVATIONS), BODY).status_code == 403
    assert stripe.intents() == []


def test_an_app_does_not_see_another_apps_payments(stripe: StripeDouble, shop: Client) -> None:
    theirs = make_payment()

    assert shop.get(f"{PATH}{theirs.uuid}/").status_code == 404
    assert post(shop, None, f"{PATH}{theirs.uuid}/cancel/").status_code == 404


def test_a_paid_payment_cannot_be_cancelled(stripe: StripeDouble, shop: Client) -> None:
    created = post(shop, BODY).json()
    stripe.pay(created["intent"])

    refused = post(shop, None, f"{PATH}{created['id']}/cancel/")

    assert (refused.status_code, refused.json()["type"]) == (409, "too-late")


def test_an_email_address_is_stored_only_as_a_hash(stripe: StripeDouble, shop: Client) -> None:
    post(shop, BODY)

    assert Payment.objects.get().customer.startswith("email:")
