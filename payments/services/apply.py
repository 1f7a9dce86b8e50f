"""Apply reports from Stripe to a payment.

Reports may arrive in any order and repeatedly. A report takes effect once, and never undoes a later report.
"""

from datetime import datetime, timedelta

from django.db import transaction

from core.lib.formats import money
from payments.intents import Intent, is_newer
from payments.models import Dispute, Mismatch, Payment, PaymentStatus, Refund, TimelineEntry
from payments.services.mismatches import (
    record_failed_refund,
    record_mismatch,
    resolve_mismatches,
)
from payments.signals import (
    dispute_closed,
    payment_refunded,
    payment_status_changed,
    payment_succeeded,
    refund_failed,
    refund_made,
)

# A card is declined within seconds, but a bank debit fails only after hours or days.
MIN_DEBIT_TIME = timedelta(minutes=10)


class AmbiguousOrder(Exception):
    """The report has the same timestamp as the stored status, so only Stripe can say which is later."""


@transaction.atomic
def apply_intent(
    *, payment_id: int, intent: Intent, reported_at: datetime, is_authoritative: bool, now: datetime
) -> bool:
    """Store the intent's status and return True if the payment changed.

    `is_authoritative` means that the intent was just fetched from Stripe, so that its status also replaces one with the
    same timestamp. A terminal status is never replaced. If the status changes, the function sends `payment_succeeded`
    or `payment_status_changed` within this transaction.

    Raises AmbiguousOrder if only Stripe can say which of two statuses is later, and the intent is not authoritative.
    """
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    is_newer_status = is_newer(
        known=payment.status,
        known_at=payment.status_at,
        reported=intent.status,
        reported_at=reported_at,
    )
    if is_newer_status is None and not is_authoritative:
        raise AmbiguousOrder
    adopted = payment.intent_id is None
    if is_newer_status is False and not adopted:
        return False
    payment.intent_id = intent.id
    if is_newer_status is False:
        payment.save(update_fields=["intent_id"])
        return True
    was = payment.status
    add_timeline_entry(payment, f"status {intent.status}", f"was {was}", now=now)
    if _is_failed_debit(payment, intent, reported_at):
        payment.debit_failed_at = now
    payment.status, payment.status_at = intent.status, reported_at
    payment.amount_received = max(payment.amount_received, intent.amount_received)
    asked = payment.formatted_amount
    if payment.status == PaymentStatus.SUCCEEDED:
        # Statistics add up received money by currency, so store the currency that was received.
        payment.currency = intent.currency
    payment.save(
        update_fields=[
            *("intent_id", "status", "status_at", "amount_received", "currency", "debit_failed_at")
        ]
    )
    if payment.status == PaymentStatus.SUCCEEDED:
        _handle_success(payment, asked, now)
    else:
        payment_status_changed.send(Payment, payment=payment, was=was, now=now)
    return True


def _is_failed_debit(payment: Payment, intent: Intent, reported_at: datetime) -> bool:
    """Return True if a debit fails after more time in processing than a card needs."""
    return (
        payment.status == PaymentStatus.PROCESSING
        and intent.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.CANCELED)
        and payment.status_at is not None
        and reported_at - payment.status_at >= MIN_DEBIT_TIME
    )


def _handle_success(payment: Payment, asked: str, now: datetime) -> None:
    received = money(payment.amount_received, payment.currency)
    if received != asked:
        detail = f"{received} received, {asked} requested"
        add_timeline_entry(payment, "a different amount than requested", detail, now=now)
        # For a payment with a reservation, the reservations app opens a discrepancy when it decides about the seats.
        if not payment.reservation_id:
            record_mismatch(
                Mismatch.Kind.AMOUNT,
                intent_id=payment.intent_id or "",
                payment=payment,
                detail=detail,
                now=now,
            )
    payment_succeeded.send(Payment, payment=payment, now=now)
    # Stripe may have reported refunds and disputes before the success. They take effect now.
    count_refunds(payment, now=now)
    for dispute in payment.disputes.exclude(closed_at=None):
        dispute_closed.send(Dispute, payment=payment, dispute=dispute, now=now)


def count_refunds(payment: Payment, *, now: datetime) -> bool:
    """Update the payment's refunded amount, and return True if a refund was newly counted or is no longer counted.

    The caller has locked the payment. The function sends `refund_made` for each newly counted refund, and
    `refund_failed` for each refund that is no longer counted. It also sends `payment_refunded` when the full amount has
    been refunded.
    """
    if payment.status != PaymentStatus.SUCCEEDED:
        return False
    refunds = list(payment.refunds.exclude(state=Refund.State.ASKED).order_by("asked_at", "pk"))
    made = [one for one in refunds if _is_effective(one) and not one.is_counted]
    failed = [one for one in refunds if not _is_effective(one) and one.is_counted]
    if not made and not failed:
        return False
    before = payment.amount_refunded
    total = sum(one.amount for one in refunds if _is_effective(one))
    payment.amount_refunded = min(total, payment.amount_received)
    payment.save(update_fields=["amount_refunded"])
    Refund.objects.filter(pk__in=[one.pk for one in made]).update(is_counted=True)
    Refund.objects.filter(pk__in=[one.pk for one in failed]).update(is_counted=False)
    detail = f"{money(payment.amount_refunded, payment.currency)} in total"
    add_timeline_entry(payment, "refunded" if made else "refund failed", detail, now=now)
    for refund in failed:
        record_failed_refund(refund, expected_refunded=before, now=now)
        refund_failed.send(Refund, payment=payment, refund=refund, now=now)
    for refund in made:
        refund_made.send(Refund, payment=payment, refund=refund, now=now)
    if made and payment.amount_refunded == payment.amount_received:
        payment_refunded.send(Payment, payment=payment, refund=made[-1], now=now)
    resolve_mismatches(
        Mismatch.objects.open().filter(
            payment=payment,
            kind=Mismatch.Kind.REFUND_FAILED,
            expected_refunded__lte=payment.amount_refunded,
        ),
        settlement="refunded by another refund",
        now=now,
    )
    return True


def _is_effective(refund: Refund) -> bool:
    return refund.state in (Refund.State.PENDING, Refund.State.SUCCEEDED)


def add_timeline_entry(payment: Payment, what: str, detail: str = "", *, now: datetime) -> None:
    """Add an entry to the payment's timeline, with `what` cut to 100 and `detail` to 300 characters."""
    TimelineEntry.objects.create(payment=payment, at=now, what=what[:100], detail=detail[:300])
