import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import SystemAlert
from payments import services
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import Mismatch, Payment, WebhookEvent
from tests.factories import make_payment
from tests.payments.deliveries import deliver
from tests.payments.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db


def waiting_payment(**fields: Any) -> Payment:
    return make_payment(status="requires_payment_method", **fields)


def status_of(payment: Payment) -> str:
    payment.refresh_from_db()
    return payment.status


def created(stripe: StripeDouble, **fields: Any) -> Payment:
    """Create a payment and its intent at the double."""
    payment = waiting_payment(**{"now": timezone.now(), **fields})
    intent = stripe.post(
        "/v1/payment_intents",
        amount=2500,
        currency="eur",
        **{f"metadata[{PAYMENT_METADATA_KEY}]": str(payment.uuid)},
    )
    Payment.objects.filter(pk=payment.pk).update(intent_id=intent["id"])
    payment.refresh_from_db()
    return payment


def test_an_event_that_never_arrived_is_fetched_and_processed(stripe: StripeDouble) -> None:
    payment = created(stripe)
    stripe.pay(payment.intent_id or "")

    run = services.reconcile(now=timezone.now())

    assert status_of(payment) == "succeeded"
    assert (run.inserted_count, run.intent_count, run.mismatch_count) == (1, 1, 0)
    assert WebhookEvent.objects.get().endpoint == "reconciliation"


def test_a_second_run_changes_nothing(stripe: StripeDouble) -> None:
    payment = created(stripe)
    stripe.pay(payment.intent_id or "")
    services.reconcile(now=timezone.now())

    run = services.reconcile(now=timezone.now())

    assert (run.inserted_count, run.healed_count, run.mismatch_count) == (0, 0, 0)


def test_an_outdated_status_is_fixed(stripe: StripeDouble) -> None:
    payment = created(stripe)
    told = stripe.pay(payment.intent_id or "")
    deliver(told)
    WebhookEvent.objects.update(state="ignored")  # staff ignored it

    run = services.reconcile(now=timezone.now())

    assert (status_of(payment), run.healed_count) == ("succeeded", 1)


def test_a_different_amount_is_recorded_once(stripe: StripeDouble) -> None:
    payment = created(stripe, amount=9900)

    for _ in range(2):
        services.reconcile(now=timezone.now())

    found = Mismatch.objects.open().get()
    assert (found.kind, found.payment) == (Mismatch.Kind.AMOUNT, payment)


def test_a_paid_intent_that_is_unknown_here_is_a_mismatch(stripe: StripeDouble) -> None:
    payment = created(stripe)
    stripe.pay(payment.intent_id or "")
    payment.delete()

    services.reconcile(now=timezone.now())

    assert Mismatch.objects.open().get().kind == Mismatch.Kind.MISSING


def test_an_unlinked_intent_is_linked(stripe: StripeDouble) -> None:
    payment = created(stripe)
    Payment.objects.update(intent_id=None, status="asked")

    services.reconcile(now=timezone.now())

    payment.refresh_from_db()
    assert payment.intent_id == stripe.intents()[0]["id"]


def test_two_paid_intents_for_one_reservation_are_a_mismatch(stripe: StripeDouble) -> None:
    for _ in range(2):
        payment = created(stripe, reservation_id="b5a7c7c2-6b1c-4a51-9f07-8f0f3b9d2a11")
        stripe.pay(payment.intent_id or "")

    services.reconcile(now=timezone.now())

    found = Mismatch.objects.open().get()
    assert (found.kind, found.payment) == (Mismatch.Kind.TWO_CHARGES, payment)


def test_an_intent_stripe_does_not_know_is_found_by_the_full_run(stripe: StripeDouble) -> None:
    waiting_payment(now=timezone.now() - timedelta(hours=2))

    assert services.reconcile(now=timezone.now()).mismatch_count == 0
    assert services.reconcile(now=timezone.now(), is_full=True).mismatch_count == 1
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.NOT_AT_STRIPE


def test_staff_fetch_an_event_by_its_id(stripe: StripeDouble) -> None:
    payment = created(stripe)
    told = stripe.pay(payment.intent_id or "")

    fetched = services.fetch_missing_event(event_id=told["id"], now=timezone.now())

    assert (fetched.state, fetched.endpoint) == ("processed", "staff")
    assert status_of(payment) == "succeeded"
    assert json.dumps(fetched.payload).count("secret") == 0


def test_missing_events_raise_a_warning_until_events_arrive_again(stripe: StripeDouble) -> None:
    payment = created(stripe)
    stripe.pay(payment.intent_id or "")

    services.reconcile(now=timezone.now() + timedelta(minutes=16))
    alert = SystemAlert.objects.get()
    assert (alert.alert_type, alert.severity, alert.state) == (
        "webhooks-missing",
        "warning",
        "open",
    )

    services.reconcile(now=timezone.now() + timedelta(minutes=31))
    alert.refresh_from_db()
    assert alert.state == "resolved"
