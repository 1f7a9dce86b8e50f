"""Personal data of buyers is not stored or logged; data for retries is encrypted until the payment is finished."""

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
from tests.factories import make_app
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


def test_an_opaque_customer_id_is_kept() -> None:
    assert customer_reference(" cus_8321 ") == "cus_8321"
