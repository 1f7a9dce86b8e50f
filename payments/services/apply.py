"""Apply what Stripe says an intent is to our payment: in order, once, and never backwards."""

from datetime import datetime

from django.db import transaction

from opsportal.lib.formats import money
from payments.intents import Intent, is_news
from payments.models import Payment, TimelineEntry
from payments.signals import payment_refunded, payment_succeeded


class AskStripe(Exception):
    """The news and what we know are of the same second: only Stripe can say which is later."""


@transaction.atomic
def apply_intent(
    *, payment_id: int, intent: Intent, told_at: datetime, is_certain: bool, now: datetime
) -> bool:
    """Whether anything changed. `is_certain`: fetched from Stripe just now, so it is the truth whatever the clocks say.

    Raises AskStripe. A success is told to the rest of the house within this transaction.
    """
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    news = is_news(
        known=payment.status, known_at=payment.status_at, told=intent.status, told_at=told_at
    )
    if news is None and not is_certain:
        raise AskStripe
    adopted = payment.intent_id is None
    if news is False and not adopted:
        return False
    fields = ["intent_id"]
    payment.intent_id = intent.id
    if news is not False:
        note(payment, f"status {intent.status}", f"was {payment.status}", now=now)
        payment.status, payment.status_at = intent.status, told_at
        payment.amount_received = max(payment.amount_received, intent.amount_received)
        fields += ["status", "status_at", "amount_received"]
    payment.save(update_fields=fields)
    if news is not False and payment.status == "succeeded":
        payment_succeeded.send(Payment, payment=payment, now=now)
    return True


@transaction.atomic
def apply_refund(*, payment_id: int, amount_refunded: int, now: datetime) -> bool:
    """Whether more has gone back than we knew. `amount_refunded` is the sum of all refunds so far."""
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    amount_refunded = min(amount_refunded, payment.amount_received)
    if amount_refunded <= payment.amount_refunded:
        return False
    payment.amount_refunded = amount_refunded
    payment.save(update_fields=["amount_refunded"])
    detail = f"{money(amount_refunded, payment.currency)} in all"
    note(payment, "refunded", detail, now=now)
    if payment.refundable == 0:
        payment_refunded.send(Payment, payment=payment, now=now)
    return True


def note(payment: Payment, what: str, detail: str = "", *, now: datetime) -> None:
    TimelineEntry.objects.create(payment=payment, at=now, what=what[:100], detail=detail[:300])
