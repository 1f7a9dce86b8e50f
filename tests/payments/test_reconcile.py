import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import SystemAlert
from payments import services, stripe_api
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import Mismatch, Payment, ReconciliationRun, WebhookEvent
from reservations.models import Discrepancy
from reservations.services import reserve
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.deliveries import deliver
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import Fault, StripeDouble
from tests.payments.support import make_intent, process

pytestmark = pytest.mark.django_db


def waiting_payment(**fields: Any) -> Payment:
    return make_payment(status="requires_payment_method", **fields)


def status_of(payment: Payment) -> str:
    payment.refresh_from_db()
    return payment.status


def created(stripe: StripeDouble, **fields: Any) -> Payment:
    """Create a payment, and its intent at the Stripe double."""
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
    WebhookEvent.objects.update(state="ignored")  # Staff ignored the event.

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


def test_a_second_payment_of_a_reservation_is_one_case_until_it_is_refunded(
    account: StripeAccount,
) -> None:
    now = timezone.now()
    standing = make_ticket_type()
    reservation = reserve(app=make_app(), wanted=wanted((standing, 1)), now=now).reservation
    first, second = (make_intent(account, str(reservation.uuid), now=now) for _ in range(2))
    process(*(account.pay(payment.intent_id or "") for payment in (first, second)))

    for _ in range(2):
        services.reconcile(now=timezone.now(), is_full=True)
    assert SystemAlert.objects.active().count() == 1
    assert Discrepancy.objects.open().get().payment == second
    assert not Mismatch.objects.exists()

    process(*account.refund(second.intent_id or ""))
    assert not SystemAlert.objects.active().exists()
    assert not Discrepancy.objects.open().exists()


# --- lists of thousands of objects, and outages ------------------------------------------------------------


def test_a_list_of_thousands_of_objects_is_read_to_its_end(
    double: StripeDouble, account: StripeAccount
) -> None:
    payment = make_intent(account, now=timezone.now())
    success = account.pay(payment.intent_id or "")
    for _ in range(5_050):
        account.create()

    run = services.reconcile(now=timezone.now(), is_full=True)

    assert run.finished_at
    assert run.intent_count == 5_051
    assert status_of(payment) == "succeeded"
    assert WebhookEvent.objects.get().event_id == success["id"]
    assert not Mismatch.objects.exists()


def test_a_payment_whose_intent_is_behind_thousands_of_others_is_not_abandoned(
    account: StripeAccount,
) -> None:
    day_ago = timezone.now() - timedelta(hours=24)
    payment = make_payment(
        intent_id=None, state="started", status="asked", finished_at=None, now=day_ago
    )
    intent = account.create(metadata={PAYMENT_METADATA_KEY: str(payment.uuid)})
    for _ in range(5_050):
        account.create()

    services.sweep(now=timezone.now())

    payment.refresh_from_db()
    assert (payment.state, payment.intent_id) == ("finished", intent["id"])


def test_an_intent_missing_from_a_list_is_requested_by_its_id_before_it_counts_as_unknown(
    double: StripeDouble, account: StripeAccount
) -> None:
    hours_ago = timezone.now() - timedelta(hours=2)
    payment = make_intent(account, now=hours_ago)
    # Make the intent older than all intents that the run lists.
    account.intents[payment.intent_id or ""]["created"] = 1

    services.reconcile(now=timezone.now(), is_full=True)
    assert not Mismatch.objects.exists()

    del account.intents[payment.intent_id or ""]
    services.reconcile(now=timezone.now(), is_full=True)
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.NOT_AT_STRIPE


def test_an_interrupted_run_continues_at_its_bookmark(
    double: StripeDouble, account: StripeAccount
) -> None:
    for _ in range(250):
        account.create()
    double.faults.append(Fault("status", 500, path="/v1/refunds", writes=False, times=2))
    with pytest.raises(stripe_api.NoResponse):
        services.reconcile(now=timezone.now())
    run = ReconciliationRun.objects.get()
    assert (run.stage, run.intent_count, run.finished_at) == ("refunds", 250, None)

    assert services.continue_reconciliation(now=timezone.now()) == 1
    run.refresh_from_db()
    assert run.intent_count == 250
    assert double.calls["GET /v1/payment_intents"] == 3


def test_a_list_that_ends_too_early_is_not_read_as_complete(
    monkeypatch: pytest.MonkeyPatch, account: StripeAccount
) -> None:
    payment = make_intent(account, now=timezone.now() - timedelta(hours=2))
    truncated = {"object": "list", "data": [], "has_more": True, "url": "/v1/payment_intents"}
    monkeypatch.setattr(account, "_list", lambda kind, given: truncated)

    with pytest.raises(stripe_api.NoResponse):
        services.reconcile(now=timezone.now(), is_full=True)
    with pytest.raises(stripe_api.NoResponse):
        stripe_api.find_intent(payment.uuid, since=timezone.now())
    assert not Mismatch.objects.exists()


def test_after_a_long_outage_events_are_fetched_back_to_the_last_finished_run(
    account: StripeAccount,
) -> None:
    start = timezone.now() - timedelta(hours=30)
    account.clock = start.timestamp
    payment = make_intent(account, now=start)
    services.reconcile(now=start)
    account.clock = (start + timedelta(minutes=5)).timestamp
    account.pay(payment.intent_id or "")
    account.dispute(payment.intent_id or "")

    account.clock = timezone.now().timestamp
    services.reconcile(now=timezone.now())

    assert status_of(payment) == "succeeded"
    assert payment.amount_disputed == 2500


def test_events_are_filtered_by_type_at_stripe(
    double: StripeDouble, account: StripeAccount
) -> None:
    for _ in range(3):
        # Causes the event payment_intent.created, which reconciliation must not fetch.
        account.create()

    assert services.reconcile(now=timezone.now()).event_count == 0


# --- refunds and disputes ----------------------------------------------------------------------------------


def test_refunds_and_disputes_without_events_are_found(account: StripeAccount) -> None:
    refunded_, disputed = (make_intent(account, now=timezone.now()) for _ in range(2))
    process(*(account.pay(one.intent_id or "") for one in (refunded_, disputed)))
    account.refund(refunded_.intent_id or "", 1000)
    account.dispute(disputed.intent_id or "")
    account.events.clear()

    run = services.reconcile(now=timezone.now())

    for payment in (refunded_, disputed):
        payment.refresh_from_db()
    assert (refunded_.amount_refunded, disputed.amount_disputed) == (1000, 2500)
    assert run.healed_count == 2


def test_the_full_run_finds_a_failure_of_an_older_refund_without_events(
    account: StripeAccount,
) -> None:
    payment = make_intent(account, now=timezone.now())
    process(account.pay(payment.intent_id or ""))
    account.next_refund_status = "pending"
    [made, charged] = account.refund(payment.intent_id or "")
    process(made, charged)
    refund = account.refunds[made["data"]["object"]["id"]]
    account.fail_refund(refund["id"])
    refund["created"] = 1  # Make the refund older than all refunds that the run lists.
    account.events.clear()

    services.reconcile(now=timezone.now(), is_full=True)

    payment.refresh_from_db()
    assert payment.amount_refunded == 0
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.REFUND_FAILED


# --- cases end ---------------------------------------------------------------------------------------------


def test_a_paid_intent_that_is_unknown_here_is_a_case_until_it_is_refunded(
    account: StripeAccount,
) -> None:
    payment = make_intent(account, now=timezone.now())
    account.pay(payment.intent_id or "")
    payment.delete()
    services.reconcile(now=timezone.now())
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.MISSING

    account.refund(payment.intent_id or "")
    services.reconcile(now=timezone.now())

    assert Mismatch.objects.get().settlement.startswith("refunded")
    assert not SystemAlert.objects.active().exists()


def test_a_different_amount_is_a_case_until_it_is_refunded(account: StripeAccount) -> None:
    payment = make_intent(account, now=timezone.now())
    Payment.objects.update(amount=9900)
    process(account.pay(payment.intent_id or ""))
    services.reconcile(now=timezone.now())
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.AMOUNT

    process(*account.refund(payment.intent_id or ""))
    services.reconcile(now=timezone.now())

    assert not Mismatch.objects.open().exists()


def test_the_full_run_finds_an_intent_that_stripe_does_not_know(stripe: StripeDouble) -> None:
    waiting_payment(now=timezone.now() - timedelta(hours=2))

    assert services.reconcile(now=timezone.now()).mismatch_count == 0
    assert services.reconcile(now=timezone.now(), is_full=True).mismatch_count == 1
    assert Mismatch.objects.open().get().kind == Mismatch.Kind.NOT_AT_STRIPE


def test_staff_can_fetch_an_event_by_its_id(stripe: StripeDouble) -> None:
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
