"""Test that each webhook event changes its payment once and in order, and that none is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.models import SystemAlert
from payments import services
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import Dispute, Mismatch, Payment, WebhookEvent
from payments.services.webhooks import process as processing
from payments.services.webhooks.receive import record_event
from reservations.models import Discrepancy, Status
from reservations.services import reserve
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble, event

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.django_db


def news(
    payment: Payment, status: str, *, at: int = 100, intent_id: str = "", **fields: Any
) -> dict[str, Any]:
    """Return an event with the timestamp `at` that reports `status` for the payment's intent."""
    object_ = {
        "id": intent_id or payment.intent_id,
        "object": "payment_intent",
        "amount": payment.amount,
        "currency": payment.currency.lower(),
        "status": status,
        "created": 1,
        "metadata": {PAYMENT_METADATA_KEY: str(payment.uuid)},
    }
    return event(f"payment_intent.{status}", {**object_, **fields}, created=at)


def take_in(told: dict[str, Any], now: datetime = NOW) -> WebhookEvent:
    received = record_event(told, endpoint="default", livemode=False, now=now)
    services.process_event(event_pk=received.event.pk, now=now)
    received.event.refresh_from_db()
    return received.event


def waiting_payment(reservation_id: str = "", **fields: Any) -> Payment:
    return make_payment(reservation_id, **{"status": "requires_payment_method", **fields})


def status_of(payment: Payment) -> str:
    payment.refresh_from_db()
    return payment.status


def test_a_success_is_applied_with_its_amount() -> None:
    payment = waiting_payment()

    logged = take_in(news(payment, "succeeded", amount_received=2500))

    assert (logged.state, logged.payment) == ("processed", payment)
    assert (status_of(payment), payment.amount_received) == ("succeeded", 2500)


def test_a_success_completes_the_reservation() -> None:
    standing = make_ticket_type()
    reservation = reserve(app=make_app(), wanted=wanted((standing, 2)), now=NOW).reservation
    payment = waiting_payment(str(reservation.uuid))

    take_in(news(payment, "succeeded"))

    reservation.refresh_from_db()
    standing.refresh_from_db()
    assert (reservation.status, reservation.payment) == (Status.COMPLETED, payment)
    assert (standing.held, standing.sold) == (0, 2)


def test_a_payment_without_a_seat_is_saved_and_raises_a_critical_alert() -> None:
    standing = make_ticket_type(1)
    app = make_app()
    past = NOW - timedelta(minutes=20)
    late = reserve(app=app, wanted=wanted((standing, 1)), now=past).reservation
    reserve(app=app, wanted=wanted((standing, 1)), now=NOW)
    payment = waiting_payment(str(late.uuid))

    assert take_in(news(payment, "succeeded")).state == "processed"

    assert status_of(payment) == "succeeded"
    assert Discrepancy.objects.open().get().payment == payment
    alert = SystemAlert.objects.get()
    assert (alert.severity, alert.alert_type) == ("critical", "money-without-seat")
    assert "25.00 EUR" in alert.title


def test_an_event_processed_again_has_no_second_effect() -> None:
    payment = waiting_payment()
    logged = take_in(news(payment, "succeeded"))

    assert services.process_event(event_pk=logged.pk, now=NOW) is False
    assert payment.timeline.count() == 1


def test_events_in_the_wrong_order_lead_to_the_right_status() -> None:
    payment = waiting_payment()

    for status, at in (("succeeded", 30), ("processing", 20), ("requires_action", 10)):
        assert take_in(news(payment, status, at=at)).state == "processed"

    assert status_of(payment) == "succeeded"


def test_a_later_decline_resets_the_status() -> None:
    payment = waiting_payment()

    take_in(news(payment, "processing", at=20))
    take_in(news(payment, "requires_payment_method", at=30))
    assert status_of(payment) == "requires_payment_method"
    take_in(news(payment, "requires_action", at=25))
    assert status_of(payment) == "requires_payment_method"


def test_a_terminal_status_is_never_replaced() -> None:
    payment = waiting_payment()

    take_in(news(payment, "succeeded", at=20))
    take_in(news(payment, "canceled", at=30))

    assert status_of(payment) == "succeeded"


def test_two_events_of_the_same_second_are_resolved_by_fetching_the_intent(
    stripe: StripeDouble,
) -> None:
    intent = stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    payment = waiting_payment(intent_id=intent["id"])
    take_in(news(payment, "processing", at=20))

    take_in(news(payment, "requires_action", at=20))

    # The status that the portal has fetched from Stripe.
    assert status_of(payment) == "requires_payment_method"
    assert stripe.calls[f"GET /v1/payment_intents/{intent['id']}"] == 1


def test_an_intent_whose_response_was_lost_is_linked(stripe: StripeDouble) -> None:
    payment = waiting_payment(intent_id=None, state="started", status="asked", finished_at=None)
    intent = stripe.post(
        "/v1/payment_intents",
        amount=2500,
        currency="eur",
        **{f"metadata[{PAYMENT_METADATA_KEY}]": str(payment.uuid)},
    )

    take_in(stripe.pay(intent["id"]))

    assert (status_of(payment), payment.intent_id) == ("succeeded", intent["id"])


def test_an_intent_of_another_system_is_ignored() -> None:
    payment = waiting_payment()

    logged = take_in(news(payment, "succeeded", intent_id="pi_other", metadata={}))

    assert (logged.state, logged.payment) == ("processed", None)
    assert not Mismatch.objects.exists()


def test_a_paid_intent_of_ours_without_a_payment_is_a_mismatch() -> None:
    payment = waiting_payment()
    told = news(payment, "succeeded")
    payment.delete()

    take_in(told)

    assert Mismatch.objects.open().get().kind == Mismatch.Kind.MISSING
    assert SystemAlert.objects.get().severity == "critical"


def test_a_second_intent_for_one_payment_is_a_mismatch() -> None:
    payment = waiting_payment()

    take_in(news(payment, "succeeded", intent_id="pi_twin"))

    assert Mismatch.objects.open().get().kind == Mismatch.Kind.TWO_CHARGES


@pytest.mark.parametrize("broken", [{"amount": "much"}, {"status": "eaten"}, {"created": None}])
def test_an_unreadable_event_is_stored_as_dead_and_blocks_no_other(broken: dict[str, Any]) -> None:
    payment = waiting_payment()

    told = news(payment, "succeeded")
    told["data"]["object"] |= broken
    poison = take_in(told)
    take_in(news(payment, "processing"))

    assert (poison.state, bool(poison.outcome)) == ("dead", True)
    assert status_of(payment) == "processing"
    assert SystemAlert.objects.get().alert_type == "dead-webhook"


def test_retrying_a_dead_event_resolves_its_alert() -> None:
    payment = waiting_payment()
    poison = take_in(news(payment, "succeeded", amount="much"))
    WebhookEvent.objects.update(payload={**poison.payload, "amount": 2500})

    assert services.replay_event(poison, now=NOW)
    services.process_event(event_pk=poison.pk, now=NOW)

    assert status_of(payment) == "succeeded"
    assert SystemAlert.objects.get().state == "resolved"


def test_ignoring_a_dead_event_resolves_its_alert() -> None:
    poison = take_in(news(waiting_payment(), "succeeded", amount="much"))

    assert services.ignore_event(poison, now=NOW)
    assert not services.ignore_event(poison, now=NOW)

    poison.refresh_from_db()
    assert poison.state == "ignored"
    assert SystemAlert.objects.get().state == "resolved"


def test_a_failing_event_is_dead_after_8_attempts_with_growing_delays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(**arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("payments.services.webhooks.process.apply_intent", broken)
    logged = take_in(news(waiting_payment(), "succeeded"))
    now, pauses = NOW, []
    while logged.state == "pending":
        pauses.append((logged.next_try_at - now).total_seconds())
        now = logged.next_try_at
        services.process_event(event_pk=logged.pk, now=now)
        logged.refresh_from_db()

    assert (logged.state, logged.tries) == ("dead", 8)
    assert len(pauses) == 7
    for expected, pause in zip([30, 60, 120, 240, 480, 960, 1920], pauses, strict=True):
        assert 0.8 * expected <= pause <= 1.2 * expected
    assert "a bug" in logged.outcome


def test_an_event_is_not_processed_before_it_is_due_or_while_leased() -> None:
    told = news(waiting_payment(), "succeeded")
    logged = record_event(told, endpoint="default", livemode=False, now=NOW).event

    WebhookEvent.objects.update(next_try_at=NOW + timedelta(seconds=1))
    assert not services.process_event(event_pk=logged.pk, now=NOW)
    WebhookEvent.objects.update(next_try_at=NOW, locked_until=NOW + timedelta(seconds=60))
    assert not services.process_event(event_pk=logged.pk, now=NOW)
    assert services.process_event(event_pk=logged.pk, now=NOW + timedelta(seconds=60))


def test_an_event_that_crashes_its_workers_is_dead_after_8_attempts() -> None:
    told = news(waiting_payment(), "succeeded")
    logged = record_event(told, endpoint="default", livemode=False, now=NOW).event
    WebhookEvent.objects.update(tries=8)

    services.process_event(event_pk=logged.pk, now=NOW)

    logged.refresh_from_db()
    assert logged.state == "dead"


def test_an_event_whose_task_was_lost_is_processed_after_a_minute() -> None:
    payment = waiting_payment()
    record_event(news(payment, "succeeded"), endpoint="default", livemode=False, now=NOW)

    assert services.process_waiting(now=NOW + timedelta(seconds=59)) == 0
    assert services.process_waiting(now=NOW + timedelta(seconds=60)) == 1
    assert status_of(payment) == "succeeded"


def test_the_effect_is_rolled_back_when_the_lease_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    payment = waiting_payment()
    told = news(payment, "succeeded")
    logged = record_event(told, endpoint="default", livemode=False, now=NOW).event

    def steal(*arguments: object, **more: object) -> bool:
        WebhookEvent.objects.update(owner="another worker")
        Payment.objects.update(status="succeeded")
        return True

    monkeypatch.setattr("payments.services.webhooks.process.apply_intent", steal)
    assert not services.process_event(event_pk=logged.pk, now=NOW)

    assert status_of(payment) == "requires_payment_method"


@pytest.mark.parametrize("type_", ["refund.created", "charge.dispute.created"])
def test_an_unreadable_refund_or_dispute_is_dead(type_: str) -> None:
    payment = make_payment()

    logged = take_in(event(type_, {"id": "x_1", "payment_intent": payment.intent_id}))

    assert logged.state == "dead"


def test_a_dispute_of_another_system_is_ignored(account: StripeAccount) -> None:
    intent = account.create()
    account.pay(intent["id"])
    [opened, *_] = account.dispute(intent["id"])

    logged = take_in(opened)

    assert (logged.state, logged.outcome) == ("processed", "not a payment of this portal")
    assert not Dispute.objects.exists()


def test_a_second_intent_without_money_is_not_a_mismatch() -> None:
    payment = waiting_payment()

    logged = take_in(news(payment, "requires_payment_method", intent_id="pi_second"))

    assert logged.outcome == "a second intent for this payment, requires_payment_method"
    assert not Mismatch.objects.exists()


def test_the_sweep_stops_at_its_time_limit_and_the_next_one_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payment = waiting_payment()
    record_event(news(payment, "succeeded"), endpoint="default", livemode=False, now=NOW)
    later = NOW + timedelta(minutes=5)

    with monkeypatch.context() as patch:
        patch.setattr(processing, "MAX_SWEEP_SECONDS", -1)
        assert services.process_waiting(now=later) == 0
    assert status_of(payment) == "requires_payment_method"

    assert services.process_waiting(now=later) == 1
    assert status_of(payment) == "succeeded"
