"""Check invariants of a shop's money and seats that must hold after any events in any order."""

from collections import Counter

from alerts.models import SystemAlert
from payments.models import Dispute, Mismatch, Payment, PaymentStatus, Refund
from reservations.models import Discrepancy, Reservation, Status
from reservations.queries.drift import find_drift
from reservations.services.hold import ON_THE_WAY
from tests.payments.stripe_account import StripeAccount

# While a dispute has one of these statuses, Stripe has withdrawn the disputed amount from the account.
WITHDRAWN = ("needs_response", "under_review", "lost")
# Alert types without a case, because they are about the portal or about measurements over time.
NO_CASES = ("webhooks-missing", "debit-failed", "stripe-key-refused")


def check_books(account: StripeAccount) -> None:
    """Check that the portal and Stripe have the same amounts, and that the ticket counters are right."""
    assert find_drift() == []
    for payment in Payment.objects.exclude(intent_id=None):
        intent = account.intents[payment.intent_id or ""]
        refunds = [one for one in account.refunds.values() if one["payment_intent"] == intent["id"]]
        effective = sum(one["amount"] for one in refunds if one["status"] != "failed")
        disputes = [
            one for one in account.disputes.values() if one["payment_intent"] == intent["id"]
        ]
        taken = sum(one["amount"] for one in disputes if one["status"] in WITHDRAWN)
        books = (payment.status, payment.amount_received, payment.amount_refunded)
        assert books == (intent["status"], intent["amount_received"], effective)
        assert payment.amount_disputed == taken
        # Refunds that Stripe refused have no id at Stripe, so they are left out.
        known = payment.refunds.exclude(stripe_id=None)
        assert {one.stripe_id for one in known} == {one["id"] for one in refunds}


def check_cases() -> None:
    """Check that all money has seats or a case, and that all seats have money, a case, or a decision by staff."""
    for payment in Payment.objects.filter(status=PaymentStatus.SUCCEEDED):
        if payment.amount_net > 0 and not _has_case(payment) and not _was_decided(payment):
            reservation = Reservation.objects.filter(payment=payment).first()
            assert reservation is not None, f"money without seats: {payment.amount_net}"
            assert reservation.status == Status.COMPLETED, f"money for a {reservation.status}"
            # The received amount must equal the price, unless a part was refunded.
            price = sum(line.amount for line in reservation.lines.all())
            assert payment.amount_received == price
    accepted = Refund.objects.exclude(stripe_id=None).exclude(asked_by=None)
    for refund in accepted.filter(state=Refund.State.FAILED):
        noted = Mismatch.objects.filter(payment=refund.payment, kind=Mismatch.Kind.REFUND_FAILED)
        assert noted.exists(), "a refund failed without a case"
    for held in Reservation.objects.processing().select_related("processing_payment"):
        assert held.processing_payment is not None
        assert held.processing_payment.status in ON_THE_WAY, "held for no payment"
    for reservation in Reservation.objects.filter(status=Status.COMPLETED):
        paid = reservation.payment
        assert paid is not None
        if paid.amount_net <= 0:
            assert _has_case(paid) or _was_decided(paid), "seats without money"


def check_alerts() -> None:
    """Check that there are as many active alerts as open cases and disputes that await evidence.

    Alerts of the types in NO_CASES are left out.
    """
    cases = Mismatch.objects.open().count() + Discrepancy.objects.open().count()
    disputes = Dispute.objects.awaiting_evidence().count()
    active = SystemAlert.objects.active().exclude(alert_type__in=NO_CASES)
    kinds = Counter(active.values_list("alert_type", flat=True))
    assert active.count() == cases + disputes, kinds


def _has_case(payment: Payment) -> bool:
    return (
        Discrepancy.objects.open().filter(payment=payment).exists()
        or Mismatch.objects.open().filter(payment=payment).exists()
        or payment.disputes.open().exists()
    )


def _was_decided(payment: Payment) -> bool:
    """Return True if staff have decided about the money or the seats of the payment."""
    return (
        payment.refunds.effective().exclude(seats=Refund.Seats.UNDECIDED).exists()
        or Discrepancy.objects.filter(payment=payment, settled_by__isnull=False).exists()
        or Mismatch.objects.filter(payment=payment, settled_by__isnull=False).exists()
    )
