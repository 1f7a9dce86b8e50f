"""Test that keys and client secrets appear in no log, page or stored event."""

import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from core.clients.models import ApiKey, Scope
from payments.models import Payment, WebhookEvent
from tests.factories import make_app
from tests.payments.deliveries import deliver
from tests.payments.stripe_double import Fault, StripeDouble, event

pytestmark = pytest.mark.django_db
STRIPE_KEY = "sk_test_verysecretkey"


def everything_stored_but_responses() -> str:
    """Return all rows of four apps as text, except stored responses, which may contain the client secret."""
    found = []
    for app in ("payments", "reservations", "alerts", "errors"):
        for model in apps.get_app_config(app).get_models():
            for row in model._default_manager.values():
                row.pop("response_body", None)
                found.append(repr(row))
    return "\n".join(found)


def test_no_secret_is_logged_shown_or_stored(
    stripe: StripeDouble, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STRIPE_SECRET_KEY = STRIPE_KEY
    caplog.set_level(logging.DEBUG)
    _, secret = ApiKey.issue(app=make_app(), scopes=[Scope.PAYMENTS])
    shop = Client(headers={"Authorization": f"Bearer {secret}"})

    def create(key: str) -> Any:
        body = {"amount": 2500, "currency": "EUR", "order_id": "o-1"}
        return shop.post(
            "/api/v1/payments/",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": key},
        )

    said = create("k-1").json()
    stripe.faults += [Fault("status", 401), Fault("status", 400), Fault("status", 500)]
    for key in ("k-2", "k-3", "k-4"):
        create(key)
    intent = {**stripe.intents()[0], "status": "succeeded"}
    deliver(event("payment_intent.succeeded", intent))
    deliver(event("payment_intent.succeeded", {**intent, "amount": "poison"}))
    from payments.services import process_event

    for logged in WebhookEvent.objects.all():
        process_event(event_pk=logged.pk, now=logged.received_at)

    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    pages = [
        reverse("payments:overview"),
        reverse("payments:payment-page", args=[said["id"]]),
        reverse("admin:payments_payment_changelist"),
        reverse("admin:payments_payment_change", args=[Payment.objects.order_by("pk")[0].pk]),
        reverse("admin:payments_webhookevent_change", args=[WebhookEvent.objects.all()[0].pk]),
    ]
    shown = "".join(client.get(page).content.decode() for page in pages)

    read = shop.get(f"/api/v1/payments/{said['id']}/").content.decode()
    for hidden in (said["client_secret"], STRIPE_KEY, stripe.secret, secret):
        assert hidden not in caplog.text
        assert hidden not in shown
        assert hidden not in read
        assert hidden not in everything_stored_but_responses()
