"""Test that creating a payment is idempotent, whatever response Stripe gives."""

import dataclasses
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clients.models import ClientApp
from core.lib.fingerprints import keyed_fingerprint
from payments import services, stripe_api
from payments.models import Payment, PaymentStatus
from payments.services import NewPayment, StoredResponse
from tests.factories import make_app
from tests.payments.stripe_double import Fault, StripeDouble

NOW = datetime.now(UTC).replace(microsecond=0)
NEW_PAYMENT = NewPayment(amount=2500, currency="EUR", order_id="o-1", metadata={"seat": "12"})
pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def create(app: ClientApp, key: str = "k", now: datetime = NOW, **changes: Any) -> StoredResponse:
    new_payment = dataclasses.replace(NEW_PAYMENT, **changes)
    return services.create_payment(app=app, new_payment=new_payment, key=key, now=now)


def test_an_intent_is_created_at_stripe_and_the_response_is_stored(
    stripe: StripeDouble, app: ClientApp
) -> None:
    answer = create(app)

    [intent] = stripe.intents()
    payment = Payment.objects.get()
    assert answer.status == 201
    assert intent["client_secret"] in answer.body
    assert (payment.state, payment.status) == ("finished", "requires_payment_method")
    assert payment.intent_id == intent["id"]
    assert intent["metadata"] == {
        "ops_payment": str(payment.uuid),
        "order_id": "o-1",
        "seat": "12",
    }


def test_stripe_never_sees_the_clients_key(stripe: StripeDouble, app: ClientApp) -> None:
    create(app, key="of the client")

    assert list(stripe.keys) == [f"ops_{Payment.objects.get().uuid}_1"]


def test_a_repeat_gets_the_stored_response_without_a_call_to_stripe(
    stripe: StripeDouble, app: ClientApp
) -> None:
    first = create(app)
    stripe.faults.append(Fault("drop_before", times=99))

    again = create(app)

    assert (again.status, again.body, again.is_replay) == (201, first.body, True)
    assert stripe.calls["POST /v1/payment_intents"] == 1
    assert Payment.objects.get().duplicates_prevented == 1


def test_a_key_is_valid_for_one_request_only(stripe: StripeDouble, app: ClientApp) -> None:
    create(app)

    with pytest.raises(services.KeyReused):
        create(app, amount=2501)
    assert len(stripe.intents()) == 1


def test_the_same_key_from_another_app_creates_another_payment(stripe: StripeDouble) -> None:
    create(make_app())
    create(make_app())

    assert len(stripe.intents()) == 2


def test_a_repeat_is_rejected_while_the_first_request_is_running(
    stripe: StripeDouble, app: ClientApp
) -> None:
    _unfinished(app)

    with pytest.raises(services.InProgress):
        create(app)
    assert Payment.objects.get().conflict_count == 1
    assert stripe.intents() == []


def test_a_repeat_takes_over_when_the_lease_has_expired(
    stripe: StripeDouble, app: ClientApp
) -> None:
    payment = _unfinished(app)

    answer = create(app, now=NOW + seconds(31))

    assert answer.status == 201
    payment.refresh_from_db()
    assert (payment.state, payment.tries) == ("finished", 2)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_response_is_retried_and_creates_one_intent(
    stripe: StripeDouble, app: ClientApp, kind: str
) -> None:
    stripe.faults.append(Fault(kind))

    assert create(app).status == 201  # stripe-python's second attempt succeeds.
    assert len(stripe.intents()) == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_repeat_or_the_sweeper_finishes_a_payment_whose_responses_were_lost(
    stripe: StripeDouble, app: ClientApp, kind: str
) -> None:
    stripe.faults.append(Fault(kind, times=2))

    with pytest.raises(services.StripeUnavailable) as refusal:
        create(app)
    assert refusal.value.status == 503
    assert Payment.objects.get().state == "started"
    assert services.sweep(now=NOW + seconds(60))["finished"] == 1

    answer = create(app, now=NOW + seconds(70))
    assert (answer.status, answer.is_replay) == (201, True)
    [intent] = stripe.intents()
    assert intent["id"] in answer.body


def test_a_repeat_gets_the_intent_of_a_late_response(
    stripe: StripeDouble, app: ClientApp, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_api, "READ_TIMEOUT_SECONDS", 0.2)
    # The new key makes the portal create a new client, which uses the short timeout.
    settings.STRIPE_SECRET_KEY = "sk_test_impatient"
    stripe.faults.append(Fault("delay", 1.5))

    with pytest.raises((services.StripeUnavailable, services.InProgress)):
        create(app)
    deadline = time.monotonic() + 60
    while not stripe.intents() and time.monotonic() < deadline:
        time.sleep(0.05)

    answer = create(app, now=NOW + seconds(3))
    [intent] = stripe.intents()
    assert intent["id"] in answer.body


def test_after_a_lost_response_a_repeat_does_not_have_to_wait(
    stripe: StripeDouble, app: ClientApp
) -> None:
    stripe.faults.append(Fault("drop_after", times=2))
    with pytest.raises(services.StripeUnavailable):
        create(app)

    assert create(app, now=NOW + seconds(1)).status == 201
    assert len(stripe.intents()) == 1


def test_a_stored_500_without_an_intent_leads_to_a_new_idempotency_key(
    stripe: StripeDouble, app: ClientApp
) -> None:
    # Stripe stores this response for the idempotency key without executing the call.
    stripe.faults.append(Fault("status", 500))

    with pytest.raises(services.StripeUnavailable):
        create(app)
    assert Payment.objects.get().attempt == 2
    assert create(app, now=NOW + seconds(1)).status == 201
    assert len(stripe.intents()) == 1


def test_a_stored_500_with_an_intent_is_resolved_by_finding_the_intent(
    stripe: StripeDouble, app: ClientApp
) -> None:
    stripe.faults.append(Fault("status_after", 500))

    answer = create(app)

    [intent] = stripe.intents()
    assert (answer.status, Payment.objects.get().attempt) == (201, 1)
    assert intent["id"] in answer.body


@pytest.mark.parametrize(("status", "shown"), [(401, 502), (403, 502), (429, 503)])
def test_errors_that_concern_the_portal_itself_are_not_stored(
    stripe: StripeDouble, app: ClientApp, status: int, shown: int
) -> None:
    stripe.faults.append(Fault("status", status))

    with pytest.raises(services.StripeUnavailable) as refusal:
        create(app)
    assert refusal.value.status == shown
    assert create(app, now=NOW + seconds(1)).status == 201


def test_a_request_that_stripe_rejects_is_stored_as_400(
    stripe: StripeDouble, app: ClientApp
) -> None:
    stripe.faults.append(Fault("status", 400))

    first, again = create(app), create(app)

    assert (first.status, again.status, again.is_replay) == (400, 400, True)
    assert Payment.objects.get().status == PaymentStatus.REFUSED


def test_a_declined_card_is_stored_as_402(stripe: StripeDouble, app: ClientApp) -> None:
    stripe.faults.append(Fault("status", 402))

    first, again = create(app), create(app)

    assert (first.status, again.status, again.body) == (402, 402, first.body)


def test_an_idempotency_conflict_at_stripe_is_reported_as_a_bug_of_the_portal(
    stripe: StripeDouble, app: ClientApp
) -> None:
    payment = _unfinished(app)
    stripe_api.create_intent(
        amount=1, currency="EUR", metadata={}, description="", key=payment.stripe_idempotency_key
    )

    with pytest.raises(services.PortalFault):
        create(app, now=NOW + seconds(31))
    assert Payment.objects.get().state == "started"


def test_no_key_is_used_up_while_the_breaker_is_open(stripe: StripeDouble, app: ClientApp) -> None:
    stripe.faults.append(Fault("drop_before", times=99))
    for number in range(5):
        with pytest.raises(services.StripeUnavailable):
            create(app, key=f"k{number}")
    calls = stripe.calls.total()

    with pytest.raises(services.StripeUnavailable) as refusal:
        create(app, key="fresh")

    assert refusal.value.retry_after > 1
    assert stripe.calls.total() == calls
    assert not Payment.objects.filter(key="fresh").exists()


def test_a_payment_older_than_23_hours_is_never_sent_again(
    stripe: StripeDouble, app: ClientApp
) -> None:
    payment = _unfinished(app)

    services.sweep(now=NOW + timedelta(hours=23))

    payment.refresh_from_db()
    assert (payment.state, payment.status) == ("finished", PaymentStatus.ABANDONED)
    assert stripe.intents() == []
    assert create(app).status == 409


def test_a_repeated_request_after_23_hours_leaves_the_payment_to_the_sweeper(
    stripe: StripeDouble, app: ClientApp
) -> None:
    payment = _unfinished(app)
    late = NOW + timedelta(hours=23)

    with pytest.raises(services.InProgress):
        create(app, now=late)
    assert not stripe.calls
    payment.refresh_from_db()
    assert (payment.state, payment.tries, payment.conflict_count) == ("started", 1, 1)

    services.sweep(now=late)
    assert create(app, now=late).status == 409
    assert Payment.objects.get().status == PaymentStatus.ABANDONED
    assert stripe.intents() == []


def test_an_old_payment_with_an_intent_at_stripe_is_linked_to_it(
    stripe: StripeDouble, app: ClientApp
) -> None:
    stripe.faults.append(Fault("drop_after", times=2))
    with pytest.raises(services.StripeUnavailable):
        create(app)

    services.sweep(now=NOW + timedelta(hours=23))

    payment = Payment.objects.get()
    assert payment.intent_id == stripe.intents()[0]["id"]
    assert create(app).status == 201


def test_the_sweeper_retries_with_a_growing_delay(stripe: StripeDouble, app: ClientApp) -> None:
    _unfinished(app)
    stripe.faults.append(Fault("status", 401, times=99))

    now, tried = NOW + seconds(31), []
    for _ in range(30):
        outcome = services.sweep(now=now)
        tried.append(outcome["failed"])
        now += seconds(60)

    assert 4 <= sum(tried) <= 7


def test_a_key_expires_and_the_payment_stays(stripe: StripeDouble, app: ClientApp) -> None:
    first = create(app)

    assert services.reap_keys(now=NOW + timedelta(hours=23)) == 0
    assert services.reap_keys(now=NOW + timedelta(hours=24)) == 1

    payment = Payment.objects.get()
    assert (payment.key, payment.response_body) == (None, "")
    assert create(app, now=NOW + timedelta(hours=25)).body != first.body
    assert len(stripe.intents()) == 2


def test_nothing_is_created_without_a_stripe_key(app: ClientApp, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(stripe_api.NotConfigured):
        create(app)
    assert not Payment.objects.exists()


def _unfinished(app: ClientApp) -> Payment:
    """Create a payment with a lease of 30 s, as if the process had died after it stored the payment."""
    payment = Payment(
        app=app,
        livemode=False,
        key="k",
        fingerprint=keyed_fingerprint(NEW_PAYMENT.digest),
        owner=uuid.uuid4().hex,
        locked_until=NOW + seconds(30),
        amount=NEW_PAYMENT.amount,
        currency=NEW_PAYMENT.currency,
        order_id=NEW_PAYMENT.order_id,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )
    payment.keep_request(description="", metadata=NEW_PAYMENT.metadata)
    payment.save()
    return payment
