import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from payments.models import RefusedDelivery, WebhookEvent
from payments.services.webhooks.rejected import rejected_calls
from payments.services.webhooks.signatures import MAX_BYTES
from tests.payments.deliveries import PATH, SECRET, deliver
from tests.payments.stripe_double import StripeDouble, event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe")]
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 2500,
    "currency": "eur",
    "status": "succeeded",
    "created": 1_700_000_000,
    "client_secret": "pi_1_secret_x",
    "receipt_email": "ann@example.org",
    "metadata": {"order_id": "o-1"},
}


def succeeded(**fields: Any) -> dict[str, Any]:
    return event("payment_intent.succeeded", INTENT, **fields)


def test_an_event_is_stored_before_it_is_processed() -> None:
    told = succeeded()

    answer = deliver(told)

    assert (answer.status_code, answer.json()) == (200, {"received": True, "duplicate": False})
    logged = WebhookEvent.objects.get()
    assert (logged.event_id, logged.state, logged.object_id) == (told["id"], "pending", "pi_1")
    assert logged.created_at == datetime.fromtimestamp(told["created"], UTC)


def test_a_duplicate_gets_200_and_is_counted() -> None:
    told = succeeded()

    deliver(told)
    again = deliver(told)

    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    assert WebhookEvent.objects.get().deliveries == 2


def test_client_secrets_and_email_addresses_are_not_stored() -> None:
    deliver(succeeded())

    kept = json.dumps(WebhookEvent.objects.get().payload)
    assert "secret" not in kept
    assert "ann@" not in kept


def test_an_event_of_an_unhandled_type_is_stored_as_ignored() -> None:
    deliver(event("customer.created", {"id": "cus_1"}))

    assert WebhookEvent.objects.get().state == "ignored"


def test_an_event_of_the_other_mode_is_stored_as_ignored() -> None:
    assert deliver(succeeded(livemode=True)).status_code == 200

    assert WebhookEvent.objects.get().state == "ignored"


def test_the_previous_secret_is_valid_during_rotation(settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", SECRET]

    assert deliver(succeeded()).status_code == 200
    assert deliver(succeeded(), secret="whsec_new").status_code == 200
    assert deliver(succeeded(), secret="whsec_older").status_code == 400


def test_each_endpoint_has_its_own_secrets(settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, "gate:whsec_gate"]

    assert deliver(succeeded(), path=PATH + "gate/", secret="whsec_gate").status_code == 200
    assert deliver(succeeded(), path=PATH + "gate/").status_code == 400
    assert deliver(succeeded(), path=PATH + "other/").status_code == 503
    assert WebhookEvent.objects.get().endpoint == "gate"


ATTACKS: dict[str, dict[str, Any]] = {
    "wrong secret": {"secret": "whsec_wrong"},
    "replayed after 5 min": {"age": 301},
    "signed in the future": {"age": -600},
    "signed far in the future": {"age": -(10**12)},
    "no signature": {"signature": ""},
    "garbage": {"signature": "garbage"},
    "no timestamp": {"signature": "v1=abc"},
    "no v1": {"signature": f"t={int(time.time())},v0=abc"},
    "truncated": {"signature": f"t={int(time.time())},v1=5257a869e7ec"},
    "empty": {"signature": "t=,v1="},
    "not a number": {"signature": "t=now,v1=abc"},
    "not ASCII": {"signature": f"t={int(time.time())},v1=\xe9\xe9"},
    "very long": {"signature": "t=1," + "v1=0," * 5000},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_gets_400_and_changes_nothing(attack: str) -> None:
    answer = deliver(succeeded(), **ATTACKS[attack])

    assert answer.status_code == 400
    assert not WebhookEvent.objects.exists()


def test_a_body_changed_after_signing_is_rejected() -> None:
    from payments import stripe_api

    body = json.dumps(succeeded())
    signature = stripe_api.sign(body, SECRET, int(time.time()))

    assert deliver(body.replace("2500", "2501"), signature=signature).status_code == 400
    assert deliver(body[:-1], signature=signature).status_code == 400
    assert deliver(body, signature=signature).status_code == 200


def test_a_body_that_is_not_utf_8_is_rejected() -> None:
    answer = Client().post(
        PATH,
        b"\xff\xfe{}",
        content_type="application/json",
        headers={"Stripe-Signature": "t=1,v1=ab"},
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "nonsense",
        "{}",
        '{"id": 1, "type": "payment_intent.succeeded", "created": 1, "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "created": "soon", "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "created": 1e400, "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "created": 1, "data": {"object": []}}',
        '{"id": "evt_1", "type": "x", "created": 1, "data": null}',
        "[" * 100_000,
    ],
)
def test_a_signed_body_that_is_not_an_event_is_rejected(body: str) -> None:
    assert deliver(body).status_code == 400
    assert not WebhookEvent.objects.exists()


def test_a_large_body_gets_413() -> None:
    assert deliver(succeeded(padding="x" * MAX_BYTES)).status_code == 413


def test_rejected_calls_are_counted_in_one_row() -> None:
    for _ in range(20):
        deliver(succeeded(), signature="")

    [counted] = RefusedDelivery.objects.all()
    # The first call was written immediately, and the next flush writes the other 19.
    assert (counted.reason, counted.count) == (
        "no signature",
        1,
    )


def test_the_count_of_rejected_calls_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        deliver(succeeded(), signature="")
    monkeypatch.setattr("payments.services.webhooks.rejected.FLUSH_SECONDS", 0.0)
    deliver(succeeded(), signature="")

    assert RefusedDelivery.objects.get().count == 21


def test_the_rest_of_a_burst_is_written_by_the_next_flush() -> None:
    for _ in range(20):
        deliver(succeeded(), signature="")

    assert rejected_calls.flush() == 19
    assert RefusedDelivery.objects.get().count == 20
    assert rejected_calls.flush() == 0


def test_the_sample_of_a_rejected_call_contains_no_personal_data() -> None:
    deliver(
        succeeded(), signature="", REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="curl ann@example.org"
    )

    sample = RefusedDelivery.objects.get().sample
    assert sample.startswith("from address:")
    assert "203.0.113.9" not in sample
    assert "ann@example.org" not in sample


def test_stripe_gets_500_while_the_database_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise DatabaseError

    monkeypatch.setattr("payments.services.record_event", fail)

    assert deliver(succeeded()).status_code == 500


def test_the_endpoint_responds_503_without_a_secret(settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []

    assert deliver(succeeded()).status_code == 503


def test_only_post_is_accepted() -> None:
    assert Client().get(PATH).status_code == 405


def test_a_delivery_from_the_double_is_accepted(stripe: StripeDouble) -> None:
    intent = stripe.post("/v1/payment_intents", amount=500, currency="eur")

    assert deliver(stripe.pay(intent["id"])).status_code == 200
    assert WebhookEvent.objects.get().object_id == intent["id"]


# --- thin events (API v2) ----------------------------------------------------------------------------------


def thin_event(type_: str, object_id: str = "pi_1", **fields: Any) -> dict[str, Any]:
    related = {"id": object_id, "type": "payment_intent", "url": f"/v1/x/{object_id}"}
    return {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": type_,
        "created": "2026-06-01T12:00:00.123Z",
        "livemode": False,
        "related_object": related,
        **fields,
    }


@pytest.mark.parametrize(
    "told",
    [
        thin_event("v2.core.account.created"),
        thin_event("v1.billing.meter.error_report_triggered"),
        thin_event("v2.core.event_destination.ping", related_object=None),
        thin_event("v1.payment_intent.succeeded", related_object=None),
    ],
)
def test_a_thin_event_about_something_else_gets_200_and_is_stored_as_ignored(
    told: dict[str, Any],
) -> None:
    assert deliver(told).status_code == 200
    assert deliver(told).json()["duplicate"] is True

    logged = WebhookEvent.objects.get()
    assert (logged.state, logged.deliveries) == ("ignored", 2)
    assert logged.created_at == datetime(2026, 6, 1, 12, 0, 0, 123_000, UTC)


@pytest.mark.parametrize("created", ["soon", 1_700_000_000, "2026-06-01T12:00:00", None])
def test_a_thin_event_without_a_time_is_rejected(created: object) -> None:
    assert deliver(thin_event("v1.payment_intent.succeeded", created=created)).status_code == 400
