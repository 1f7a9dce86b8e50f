"""Apply what Stripe reports to a payment: in order, once, and never backwards."""

from datetime import datetime

from django.db import transaction

from core.lib.formats import money
from payments.intents import Intent, is_newer
from payments.models import Payment, PaymentStatus, TimelineEntry
from payments.signals import payment_refunded, payment_succeeded


class AmbiguousOrder(Exception):
    """The report and the stored status have the same timestamp, so only Stripe can say which is later."""


@transaction.atomic
def apply_intent(
    *, payment_id: int, intent: Intent, reported_at: datetime, is_authoritative: bool, now: datetime
) -> bool:
    """Store the intent's status and return True if the payment changed.

    `is_authoritative` means that the intent was just fetched from Stripe, so it is right whatever the timestamps say.
    A success sends `payment_succeeded` within this transaction. Raises AmbiguousOrder.
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
    fields = ["intent_id"]
    payment.intent_id = intent.id
    if is_newer_status is not False:
        add_timeline_entry(payment, f"status {intent.status}", f"was {payment.status}", now=now)
        payment.status, payment.status_at = intent.status, reported_at
        payment.amount_received = max(payment.amount_received, intent.amount_received)
        fields += ["status", "status_at", "amount_received"]
    payment.save(update_fields=fields)
    if is_newer_status is not False and payment.status == PaymentStatus.SUCCEEDED:
        payment_succeeded.send(Payment, payment=payment, now=now)
    return True


@transaction.atomic
def apply_refund(*, payment_id: int, amount_refunded: int, now: datetime) -> bool:
    """Store the sum of all refunds so far and return True if it has grown."""
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    amount_refunded = min(amount_refunded, payment.amount_received)
    if amount_refunded <= payment.amount_refunded:
        return False
    payment.amount_refunded = amount_refunded
    payment.save(update_fields=["amount_refunded"])
    detail = f"{money(amount_refunded, payment.currency)} in total"
    add_timeline_entry(payment, "refunded", detail, now=now)
    if payment.refundable == 0:
        payment_refunded.send(Payment, payment=payment, now=now)
    return True


def add_timeline_entry(payment: Payment, what: str, detail: str = "", *, now: datetime) -> None:
    """Record on the payment's timeline that something happened to it."""
    TimelineEntry.objects.create(payment=payment, at=now, what=what[:100], detail=detail[:300])
