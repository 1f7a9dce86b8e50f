"""Test the deadline, the booked amount and the alert of disputes."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from django.contrib.auth.models import User

from alerts.models import SystemAlert
from impact.extension_points import Wanted
from impact.states import Stage
from payments import services
from payments.hooks.order_sources import payment_attempts
from payments.models import Dispute, Payment
from payments.reversals import StripeDispute
from payments.services.disputes import store_dispute, watch_deadlines
from reservations.models import Discrepancy, Reservation, Status
from reservations.services import handle_closed_dispute, reserve, settle
from tests.factories import make_app, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_reversals import EVIDENCE_DAYS
from tests.payments.support import make_intent, process, refund

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.django_db


@pytest.fixture
def booked(account: StripeAccount) -> Payment:
    """Create a payment of 25.00 EUR that has completed its reservation."""
    standing = make_ticket_type()
    reservation = reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOW).reservation
    payment = make_intent(account, str(reservation.uuid))
    process(account.pay(payment.intent_id or ""))
    return reread(payment)


def reread(payment: Payment) -> Payment:
    payment.refresh_from_db()
    return payment


def dispute_id(account: StripeAccount) -> str:
    return next(iter(account.disputes))


def test_a_dispute_is_counted_and_its_alert_names_the_deadline(
    account: StripeAccount, booked: Payment
) -> None:
    process(*account.dispute(booked.intent_id or ""))

    dispute = Dispute.objects.get()
    reread(booked)
    assert (dispute.status, dispute.amount, dispute.reason) == (
        "needs_response",
        2500,
        "product not received",
    )
    assert dispute.evidence_due_at is not None
    assert (booked.amount_disputed, booked.amount_net, booked.shown_status) == (2500, 0, "disputed")
    alert = SystemAlert.objects.get()
    assert (alert.alert_type, alert.severity, alert.state) == ("payment-dispute", "high", "open")
    assert f"by {dispute.evidence_due_at:%-d %b %Y}" in alert.message


def ended_at(payment: Payment) -> datetime | None:
    """Return the time when the order of a disputed payment ended."""
    [attempt] = payment_attempts(Wanted(record_ids=frozenset({payment.pk})))
    assert attempt.stage == Stage.ENDED
    return attempt.settled_at


def test_a_disputed_payment_ended_when_the_dispute_was_opened(
    account: StripeAccount, booked: Payment
) -> None:
    opened_at = NOW + timedelta(days=9)
    account.clock = opened_at.timestamp
    process(*account.dispute(booked.intent_id or ""))

    assert ended_at(booked) == opened_at
    Dispute.objects.update(withdrawn_at=None)  # An earlier version stored the dispute.
    assert ended_at(booked) == opened_at


@pytest.mark.parametrize("reports", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (0, 1)])
def test_a_payment_with_an_inquiry_ended_when_the_inquiry_became_a_dispute(
    account: StripeAccount, booked: Payment, reports: tuple[int, ...]
) -> None:
    inquiry = account.dispute(booked.intent_id or "", is_inquiry=True)
    became_dispute_at = NOW + timedelta(days=9)
    account.clock = became_dispute_at.timestamp
    events = [*inquiry, *account.escalate(dispute_id(account))]

    process(*(events[number] for number in reports))

    assert ended_at(booked) == became_dispute_at
    assert Dispute.objects.get().opened_at < became_dispute_at


def test_an_inquiry_takes_no_money(account: StripeAccount, booked: Payment) -> None:
    process(*account.dispute(booked.intent_id or "", is_inquiry=True))
    assert (reread(booked).amount_disputed, booked.shown_status) == (0, "succeeded")

    process(*account.close_dispute(dispute_id(account), "warning_closed"))
    assert SystemAlert.objects.get().state == "resolved"


def test_an_inquiry_can_become_a_dispute(account: StripeAccount, booked: Payment) -> None:
    process(*account.dispute(booked.intent_id or "", is_inquiry=True))

    process(*account.escalate(dispute_id(account)))

    assert reread(booked).amount_disputed == 2500
    assert SystemAlert.objects.get().state == "open"


def test_the_alert_becomes_critical_two_days_before_the_deadline(
    account: StripeAccount, booked: Payment
) -> None:
    process(*account.dispute(booked.intent_id or ""))
    deadline = Dispute.objects.get().evidence_due_at
    assert deadline is not None
    assert timedelta(days=EVIDENCE_DAYS - 1) < deadline - NOW

    assert watch_deadlines(now=deadline - timedelta(days=3)) == 1
    assert SystemAlert.objects.get().severity == "high"
    assert watch_deadlines(now=deadline - timedelta(days=1)) == 1
    assert SystemAlert.objects.get().severity == "critical"
    assert watch_deadlines(now=deadline + timedelta(minutes=1)) == 0
    assert SystemAlert.objects.get().state == "resolved"


def test_sending_evidence_ends_the_alert(account: StripeAccount, booked: Payment) -> None:
    process(*account.dispute(booked.intent_id or ""))

    process(account.send_evidence(dispute_id(account)))

    assert SystemAlert.objects.get().state == "resolved"
    assert reread(booked).amount_disputed == 2500


def test_a_won_dispute_returns_the_money(account: StripeAccount, booked: Payment) -> None:
    process(*account.dispute(booked.intent_id or ""))

    process(*account.close_dispute(dispute_id(account), "won"))

    assert (reread(booked).amount_disputed, booked.shown_status) == (0, "succeeded")
    assert Dispute.objects.get().closed_at
    assert not SystemAlert.objects.active().exists()
    assert not Discrepancy.objects.exists()


def test_a_lost_dispute_opens_a_case_about_the_seats(
    account: StripeAccount, booked: Payment
) -> None:
    process(*account.dispute(booked.intent_id or ""))

    process(*account.close_dispute(dispute_id(account), "lost"))

    assert (reread(booked).shown_status, booked.amount_net) == ("disputed", 0)
    case = Discrepancy.objects.open().get()
    assert case.kind == Discrepancy.Kind.DISPUTE_LOST
    assert SystemAlert.objects.active().get().alert_type == "seat-and-money-differ"

    staff = User.objects.create_user("ann")
    settle(discrepancy=case, settlement="released", release_seats=True, user=staff, now=NOW)
    assert Reservation.objects.get().status == Status.REFUNDED
    assert not SystemAlert.objects.active().exists()


@pytest.mark.parametrize("outcome", ["won", "lost"])
@pytest.mark.parametrize("is_paid_last", [False, True])
def test_the_reports_of_a_dispute_lead_to_the_same_state_in_any_order(
    account: StripeAccount, outcome: str, is_paid_last: bool
) -> None:
    standing = make_ticket_type(100)
    for order in permutations(range(4)):
        reservation = reserve(app=make_app(), wanted=wanted((standing, 1)), now=NOW).reservation
        payment = make_intent(account, str(reservation.uuid))
        success = account.pay(payment.intent_id or "")
        opened = account.dispute(payment.intent_id or "")
        id_ = opened[0]["data"]["object"]["id"]
        reports = [*opened, account.send_evidence(id_), *account.close_dispute(id_, outcome)]
        shuffled = [reports[index] for index in order] + reports[4:]

        process(*([*shuffled, success] if is_paid_last else [success, *shuffled]))

        assert Dispute.objects.get(payment=payment).status == outcome
        assert reread(payment).amount_disputed == (2500 if outcome == "lost" else 0)
        cases = Discrepancy.objects.open().filter(payment=payment)
        assert cases.count() == (outcome == "lost")
        alerts = SystemAlert.objects.active().filter(key__contains=id_)
        assert not alerts.exists()


def test_money_that_a_dispute_has_taken_cannot_be_refunded(
    account: StripeAccount, booked: Payment
) -> None:
    process(*account.dispute(booked.intent_id or ""))

    with pytest.raises(services.CannotRefund):
        refund(booked, 2500, "form 1")


def test_a_later_report_of_the_same_status_updates_the_dispute_without_a_timeline_entry(
    account: StripeAccount, booked: Payment
) -> None:
    process(*account.dispute(booked.intent_id or ""))
    dispute = Dispute.objects.get()
    entries = booked.timeline.count()
    reported = StripeDispute(
        id=dispute.stripe_id,
        status=dispute.status,
        amount=2000,
        currency="EUR",
        reason="fraudulent",
        intent_id=booked.intent_id or "",
        created_at=dispute.opened_at,
    )

    store_dispute(
        payment_id=booked.pk,
        reported=reported,
        reported_at=dispute.reported_at + timedelta(minutes=1),
        now=NOW,
    )

    dispute.refresh_from_db()
    assert (dispute.amount, dispute.reason) == (2000, "fraudulent")
    assert booked.timeline.count() == entries


def test_a_partly_disputed_payment_that_is_lost_keeps_its_other_cases(booked: Payment) -> None:
    reservation = Reservation.objects.get()
    case = Discrepancy.objects.create(
        kind=Discrepancy.Kind.AMOUNT, payment=booked, reservation=reservation, opened_at=NOW
    )
    dispute = Dispute(payment=booked, status=Dispute.Status.LOST, amount=500, currency="EUR")

    handle_closed_dispute(payment=booked, dispute=dispute, now=NOW)

    assert {one.kind for one in Discrepancy.objects.open()} == {case.kind, "dispute_lost"}
