"""Test that each reconciliation rechecks open mismatches, and resolves only those that have been corrected."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import SystemAlert
from payments import services, stripe_api
from payments.models import Mismatch, Payment, ReconciliationRun
from payments.services.mismatches import record_mismatch
from payments.services.reconciliation import runs
from tests.factories import make_payment
from tests.payments.stripe_account import StripeAccount
from tests.payments.support import make_intent

Kind = Mismatch.Kind
pytestmark = pytest.mark.django_db


def record(kind: Mismatch.Kind, intent_id: str, payment: Payment | None = None) -> Mismatch:
    record_mismatch(
        kind, intent_id=intent_id, payment=payment, detail="differs", now=timezone.now()
    )
    return Mismatch.objects.get(kind=kind)


def settlement_of(mismatch: Mismatch) -> str:
    services.reconcile(now=timezone.now())
    mismatch.refresh_from_db()
    return mismatch.settlement


def active_alerts() -> int:
    return SystemAlert.objects.active().filter(alert_type="payment-mismatch").count()


def test_an_intent_that_stripe_has_after_all_is_resolved(account: StripeAccount) -> None:
    payment = make_intent(account)
    mismatch = record(Kind.NOT_AT_STRIPE, payment.intent_id or "", payment)
    assert active_alerts() == 1

    assert settlement_of(mismatch) == "found at Stripe"
    assert active_alerts() == 0


def test_a_status_that_has_caught_up_is_resolved(account: StripeAccount) -> None:
    payment = make_intent(account)
    mismatch = record(Kind.BEHIND, payment.intent_id or "", payment)

    assert settlement_of(mismatch) == "the status is the same as at Stripe"


def test_an_amount_that_was_changed_back_before_the_payment_is_resolved(
    account: StripeAccount,
) -> None:
    payment = make_intent(account)
    mismatch = record(Kind.AMOUNT, payment.intent_id or "", payment)

    assert settlement_of(mismatch) == "the amount is the same as at Stripe"


def test_a_paid_intent_whose_payment_is_now_known_is_resolved(account: StripeAccount) -> None:
    payment = make_intent(account)
    mismatch = record(Kind.MISSING, payment.intent_id or "")

    assert settlement_of(mismatch) == "the portal has the payment now"


def test_a_second_intent_that_was_canceled_at_stripe_is_resolved(account: StripeAccount) -> None:
    payment = make_intent(account)
    second = account.create()
    mismatch = record(Kind.TWO_CHARGES, second["id"], payment)
    second["status"] = "canceled"

    assert settlement_of(mismatch) == "canceled at Stripe"


def test_a_second_charge_that_was_not_refunded_stays_open(account: StripeAccount) -> None:
    payment = make_intent(account)
    second = account.create()
    account.pay(second["id"])
    mismatch = record(Kind.TWO_CHARGES, second["id"], payment)

    assert settlement_of(mismatch) == ""
    account.refund(second["id"])
    assert settlement_of(mismatch) == "refunded"


def test_an_intent_that_stripe_does_not_know_stays_open(account: StripeAccount) -> None:
    payment = make_payment(now=timezone.now() - timedelta(days=40))
    mismatch = record(Kind.NOT_AT_STRIPE, "pi_unknown", payment)

    assert settlement_of(mismatch) == ""


def test_a_paid_payment_that_stripe_reports_as_unpaid_is_a_mismatch(
    account: StripeAccount,
) -> None:
    payment = make_intent(account)
    Payment.objects.update(status="succeeded", amount_received=payment.amount)

    run = services.reconcile(now=timezone.now())

    [mismatch] = Mismatch.objects.open()
    payment.refresh_from_db()
    assert (mismatch.kind, run.mismatch_count) == (Kind.BEHIND, 1)
    assert mismatch.detail == "succeeded in the portal, requires_payment_method at Stripe"
    assert payment.status == "succeeded"


def test_a_run_that_another_worker_continues_is_left_alone(account: StripeAccount) -> None:
    now = timezone.now()
    run = ReconciliationRun.objects.create(
        started_at=now, since=now - timedelta(hours=1), locked_until=now + timedelta(minutes=1)
    )

    assert services.continue_reconciliation(now=now) == 0

    run.refresh_from_db()
    assert (run.finished_at, run.bookmark, run.intent_count) == (None, "", 0)


def test_a_list_whose_bookmark_no_longer_exists_is_read_from_its_start(
    account: StripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    bookmarks = []
    compare = runs._STEPS[runs.Stage.INTENTS]

    def record_and_compare(run: ReconciliationRun, now: Any) -> str:
        bookmarks.append(run.bookmark)
        return compare(run, now)

    monkeypatch.setitem(runs._STEPS, runs.Stage.INTENTS, record_and_compare)
    run = ReconciliationRun.objects.create(
        started_at=now,
        since=now - timedelta(hours=1),
        locked_until=now,
        stage=runs.Stage.INTENTS,
        bookmark="pi_gone",
    )

    assert services.continue_reconciliation(now=now) == 1

    run.refresh_from_db()
    assert bookmarks == ["pi_gone", ""]
    assert run.finished_at is not None


def test_an_unknown_object_without_a_bookmark_ends_the_run_with_the_error(
    account: StripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(run: ReconciliationRun, now: Any) -> str:
        raise stripe_api.NotFound("No such payment_intent")

    monkeypatch.setitem(runs._STEPS, runs.Stage.INTENTS, unknown)

    with pytest.raises(stripe_api.NotFound):
        services.reconcile(now=timezone.now())

    run = ReconciliationRun.objects.get()
    assert run.finished_at is None
    assert run.locked_until is not None
    assert run.locked_until <= timezone.now()
