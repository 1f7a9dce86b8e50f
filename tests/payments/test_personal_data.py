"""Test that personal data of buyers is not stored or logged, except encrypted for retries of unfinished payments."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core.clients.models import ApiKey, Scope
from core.lib.customers import customer_reference, customer_references
from payments import services
from payments.models import Payment, WebhookEvent
from reservations import services as services_of_reservations
from tests.factories import make_app, make_ticket_type, wanted
from tests.payments.deliveries import deliver
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble

pytestmark = pytest.mark.django_db
PRIVATE = {
    "email": "ann@example.org",
    "phone": "+49 170 1234567",
    "card": "4242 4242 4242 4242",
    "name": "Ann Example",
}
BODY: dict[str, Any] = {
    "amount": 2500,
    "currency": "EUR",
    "order_id": "o-1",
    "customer": PRIVATE["email"],
    "description": f"Tickets for {PRIVATE['name']}, {PRIVATE['phone']}",
    "metadata": {"mail": PRIVATE["email"], "card": PRIVATE["card"], "seat": "A1"},
}


@pytest.fixture
def shop() -> Client:
    _, secret = ApiKey.issue(app=make_app(), scopes=[Scope.PAYMENTS])
    return Client(headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": "k-1"})


def create(shop: Client) -> Any:
    return shop.post("/api/v1/payments/", BODY, content_type="application/json")


def everything_stored() -> str:
    rows = (
        row
        for app in ("payments", "reservations", "alerts", "errors", "clients", "limits")
        for model in apps.get_app_config(app).get_models()
        for row in model._default_manager.values()
    )
    return "\n".join(map(repr, rows))


def test_personal_data_of_a_finished_payment_is_at_stripe_only(
    account: StripeAccount, shop: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    assert create(shop).status_code == 201
    [intent] = account.intents.values()
    deliver(account.pay(intent["id"]))
    for event in account.refund(intent["id"]) + account.events[:1]:
        deliver(event)
    for logged in WebhookEvent.objects.all():
        services.process_event(event_pk=logged.pk, now=timezone.now())

    assert intent["description"] == BODY["description"]
    assert intent["metadata"]["mail"] == PRIVATE["email"]
    for private in PRIVATE.values():
        assert private not in everything_stored()
        assert private not in caplog.text
    assert WebhookEvent.objects.count() == 4


def test_an_unfinished_payment_is_finished_from_its_encrypted_request(
    double: StripeDouble, account: StripeAccount, shop: Client
) -> None:
    double.faults.append(Fault("drop_before", times=2))
    assert create(shop).status_code == 503
    for private in PRIVATE.values():
        assert private not in everything_stored()
    assert Payment.objects.get().request_body

    services.sweep(now=timezone.now() + timedelta(minutes=2))

    [intent] = account.intents.values()
    assert (intent["description"], intent["metadata"]["card"]) == (
        BODY["description"],
        PRIVATE["card"],
    )
    payment = Payment.objects.get()
    assert (payment.state, payment.request_body) == ("finished", "")


def test_a_refused_request_keeps_no_personal_data(double: StripeDouble, shop: Client) -> None:
    double.faults.append(Fault("status", 400))

    assert create(shop).status_code == 400

    assert Payment.objects.get().request_body == ""


def test_a_request_encrypted_with_a_lost_key_is_looked_up_and_then_abandoned(
    double: StripeDouble, shop: Client, settings: Settings
) -> None:
    double.faults.append(Fault("drop_before", times=2))
    create(shop)
    settings.SECRET_KEY = "another key that is as long as a real one"
    settings.SECRET_KEY_FALLBACKS = []

    services.sweep(now=timezone.now() + timedelta(minutes=2))
    payment = Payment.objects.get()
    assert (payment.state, "SECRET_KEY" in payment.error) == ("started", True)

    services.sweep(now=timezone.now() + timedelta(hours=24))
    payment.refresh_from_db()
    assert payment.status == "abandoned"


@pytest.mark.parametrize("given", [PRIVATE["email"], " ANN@example.org"])
def test_an_address_is_stored_as_a_keyed_hash(given: str, settings: Settings) -> None:
    reference = customer_reference(given)

    assert reference == customer_reference(PRIVATE["email"])
    assert "ann" not in reference.lower()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is as long as a real one"
    assert customer_reference(given) != reference
    assert reference in customer_references(given)


@pytest.mark.parametrize("given", ["+49 (151) 234-5678", " +49 151 2345678", "tel:+49.151.2345678"])
def test_a_phone_number_is_stored_as_a_keyed_hash(given: str) -> None:
    reference = customer_reference(given)

    assert reference == customer_reference("+491512345678")
    assert "2345678" not in reference
    # Earlier versions stored unrecognized phone numbers unchanged, so a search must also find these.
    assert customer_references(given)[-1] == given.strip()


@pytest.mark.parametrize(
    "given", ["4711", "2026-11-0001", "+c-4711", "0151 2345678", "a+491512345678"]
)
def test_an_id_with_digits_is_not_a_phone_number(given: str) -> None:
    assert customer_references(given) == [given]


@pytest.mark.parametrize("customer", ["+49 151 2345678", "4242 4242 4242 4242", "ann@example.org"])
def test_personal_data_in_the_customer_field_is_never_stored_in_clear_text(
    account: StripeAccount, shop: Client, customer: str
) -> None:
    body = {"amount": 2500, "currency": "EUR", "customer": customer}
    assert shop.post("/api/v1/payments/", body, content_type="application/json").status_code == 201

    assert customer not in everything_stored()


@pytest.mark.parametrize(
    "address", ["/api/v1/payments/", "/api/v1/reservations/", "/api/v1/waiting-list/"]
)
def test_an_order_id_with_an_address_is_refused(address: str) -> None:
    _, secret = ApiKey.issue(app=make_app(), scopes=[Scope.PAYMENTS, Scope.RESERVATIONS])
    shop = Client(headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": "k-1"})
    bodies: dict[str, dict[str, Any]] = {
        "/api/v1/payments/": {"amount": 2500, "currency": "EUR"},
        "/api/v1/reservations/": {"items": [{"ticket_type": 1, "quantity": 1}]},
        "/api/v1/waiting-list/": {"ticket_type": 1, "quantity": 1, "customer": "c-1"},
    }

    refused = shop.post(
        address,
        {**bodies[address], "order_id": "7 ann@example.org"},
        content_type="application/json",
    )

    assert refused.status_code == 422
    assert "order_id must not contain an e-mail address" in refused.json()["detail"]
    assert "ann" not in refused.content.decode()


def test_an_idempotency_key_with_an_address_is_refused(shop: Client) -> None:
    refused = shop.post(
        "/api/v1/payments/",
        {"amount": 2500, "currency": "EUR"},
        content_type="application/json",
        headers={"Idempotency-Key": "pay-ann@example.org-1"},
    )

    assert refused.status_code == 400
    assert "must not contain an e-mail address" in refused.json()["detail"]
    assert not Payment.objects.exists()


def test_reasons_that_apps_write_are_scrubbed(double: StripeDouble) -> None:
    app = make_app()
    _, secret = ApiKey.issue(app=app, scopes=[Scope.PAYMENTS, Scope.RESERVATIONS])
    shop = Client(headers={"Authorization": f"Bearer {secret}"})
    made = [
        services_of_reservations.reserve(
            app=app, wanted=wanted((make_ticket_type(), 1)), now=timezone.now()
        ).reservation
        for _ in range(2)
    ]
    split = {"reason": "fee of ann@example.org", "fee": 100}
    body = {"amount": 2600, "currency": "EUR", "reservation_id": made[0].uuid, "split": split}

    paid = shop.post("/api/v1/payments/", body, content_type="application/json")
    completed = shop.post(
        f"/api/v1/reservations/{made[1].uuid}/complete/",
        {"paid_elsewhere": "cash of ann@example.org"},
        content_type="application/json",
    )

    assert (paid.status_code, completed.status_code) == (201, 200)
    assert "ann@example.org" not in everything_stored()
    assert "fee of [Filtered]" in everything_stored()


def test_an_opaque_customer_id_is_kept() -> None:
    assert customer_reference(" cus_8321 ") == "cus_8321"
