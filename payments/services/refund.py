"""Give money back: once per confirmed form, never more than was received."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum

from opsportal.lib.formats import THREE_DECIMAL, money
from payments import stripe_api
from payments.models import Payment, Refund
from payments.models.intents import NEVER_RESEND_AFTER
from payments.services.apply import apply_refund, note

State = Refund.State
OPEN = (State.ASKED, State.PENDING)
LET_THE_REQUEST_FINISH = timedelta(minutes=1)


class CannotRefund(Exception):
    """Nothing was asked of Stripe; the text says why."""


def refund(
    *,
    payment: Payment,
    amount: int,
    reason: str,
    form: uuid.UUID,
    user: User,
    now: datetime,
) -> Refund:
    """The refund of this confirmed form, asked for at Stripe if it was not yet.

    Raises CannotRefund. With no answer from Stripe it stays asked for, and the sweeper asks again.
    """
    asked = _note_request(payment, amount, reason, form, user, now)
    if asked.state == State.ASKED:
        _ask(asked, now)
    asked.refresh_from_db()
    return asked


@transaction.atomic
def _note_request(
    payment: Payment,
    amount: int,
    reason: str,
    form: uuid.UUID,
    user: User,
    now: datetime,
) -> Refund:
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    known = Refund.objects.filter(uuid=form).first()
    if known is not None:
        return known
    if payment.status != "succeeded" or not payment.intent_id:
        raise CannotRefund("only a payment that succeeded can be refunded")
    under_way = payment.refunds.filter(state__in=OPEN).aggregate(sum=Sum("amount", default=0))[
        "sum"
    ]
    if not 0 < amount <= payment.refundable - under_way:
        raise CannotRefund("more than what is left of the payment")
    if payment.currency in THREE_DECIMAL and amount % 10:
        raise CannotRefund(f"an amount in {payment.currency} ends with 0")  # as Stripe takes it
    note(payment, "refund asked for", money(amount, payment.currency), now=now)
    return Refund.objects.create(
        uuid=form, payment=payment, amount=amount, reason=reason[:200], asked_by=user, asked_at=now
    )


def _ask(asked: Refund, now: datetime) -> None:
    payment = asked.payment
    try:
        result = stripe_api.refund(
            intent_id=payment.intent_id or "",
            amount=asked.amount,
            payment=payment.uuid,
            key=asked.stripe_key,
        )
    except (stripe_api.Rejected, stripe_api.CardRefused) as refusal:
        Refund.objects.filter(pk=asked.pk, state=State.ASKED).update(
            state=State.FAILED, error=str(refusal)[:300], settled_at=now
        )
    except stripe_api.StripeTrouble as trouble:
        Refund.objects.filter(pk=asked.pk).update(error=str(trouble)[:300])
    else:
        with transaction.atomic():
            Refund.objects.filter(pk=asked.pk, state=State.ASKED).update(stripe_id=result.id)
            _become(asked, result.status, now)


def settle_refund(*, payment: Payment, told: Mapping[str, Any], now: datetime) -> str:
    """What a `refund.*` event says of one of our refunds. Runs in the caller's transaction."""
    known = Refund.objects.filter(payment=payment, stripe_id=str(told.get("id"))).first()
    if known is None:
        return "not asked for through the portal"
    _become(known, str(told.get("status")), now)
    return f"refund {told.get('status')}"


def _become(refund_: Refund, told: str, now: datetime) -> None:
    """Stripe's words: pending, requires_action, succeeded, failed, canceled."""
    state = {"succeeded": State.SUCCEEDED, "failed": State.FAILED, "canceled": State.FAILED}.get(
        told, State.PENDING
    )
    changed = Refund.objects.filter(pk=refund_.pk, state__in=OPEN).update(
        state=state, error="", settled_at=None if state == State.PENDING else now
    )
    if changed and state == State.SUCCEEDED:
        ours = Refund.objects.filter(payment=refund_.payment_id, state=State.SUCCEEDED)
        total = ours.aggregate(sum=Sum("amount", default=0))["sum"]
        apply_refund(payment_id=refund_.payment_id, amount_refunded=total, now=now)


def sweep_refunds(*, now: datetime) -> int:
    """Ask again for refunds that got no answer, while Stripe remembers their key. How many."""
    waiting = Refund.objects.filter(
        state=State.ASKED,
        asked_at__lte=now - LET_THE_REQUEST_FINISH,
        asked_at__gt=now - NEVER_RESEND_AFTER,
    ).select_related("payment")
    count = 0
    for asked in waiting.order_by("asked_at", "pk")[:50]:
        _ask(asked, now)
        count += 1
    return count
