"""Refund a payment: once per confirmed form, and never more than was received."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum

from core.lib.formats import THREE_DECIMAL, money
from payments import stripe_api
from payments.models import Payment, PaymentStatus, Refund
from payments.models.intents import NEVER_RESEND_AFTER
from payments.services.apply import add_timeline_entry, apply_refund

State = Refund.State
OPEN_STATES = (State.ASKED, State.PENDING)
REQUEST_GRACE_PERIOD = timedelta(minutes=1)


class CannotRefund(Exception):
    """The refund is not possible; the text says why. No request was sent to Stripe."""


def refund(
    *,
    payment: Payment,
    amount: int,
    reason: str,
    form: uuid.UUID,
    user: User,
    now: datetime,
) -> Refund:
    """Return the refund of this confirmed form, after requesting it from Stripe if that has not happened yet.

    Raises CannotRefund. If Stripe does not respond, the refund stays `asked` and the sweeper sends the request again.
    """
    requested = _record_request(payment, amount, reason, form, user, now)
    if requested.state == State.ASKED:
        _request_refund(requested, now)
    requested.refresh_from_db()
    return requested


@transaction.atomic
def _record_request(
    payment: Payment,
    amount: int,
    reason: str,
    form: uuid.UUID,
    user: User,
    now: datetime,
) -> Refund:
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    existing = Refund.objects.filter(uuid=form).first()
    if existing is not None:
        return existing
    if payment.status != PaymentStatus.SUCCEEDED or not payment.intent_id:
        raise CannotRefund("only a successful payment can be refunded")
    pending = payment.refunds.filter(state__in=OPEN_STATES).aggregate(sum=Sum("amount", default=0))[
        "sum"
    ]
    if not 0 < amount <= payment.refundable - pending:
        raise CannotRefund("the amount exceeds what is left to refund")
    if payment.currency in THREE_DECIMAL and amount % 10:
        # https://docs.stripe.com/currencies#three-decimal
        raise CannotRefund(f"an amount in {payment.currency} must be a multiple of 0.01")
    add_timeline_entry(payment, "refund requested", money(amount, payment.currency), now=now)
    return Refund.objects.create(
        uuid=form, payment=payment, amount=amount, reason=reason[:200], asked_by=user, asked_at=now
    )


def _request_refund(refund_: Refund, now: datetime) -> None:
    payment = refund_.payment
    try:
        result = stripe_api.refund(
            intent_id=payment.intent_id or "",
            amount=refund_.amount,
            payment=payment.uuid,
            key=refund_.stripe_idempotency_key,
        )
    except (stripe_api.InvalidRequest, stripe_api.CardDeclined) as refusal:
        Refund.objects.filter(pk=refund_.pk, state=State.ASKED).update(
            state=State.FAILED, error=str(refusal)[:300], settled_at=now
        )
    except stripe_api.StripeFailure as failure:
        Refund.objects.filter(pk=refund_.pk).update(error=str(failure)[:300])
    else:
        with transaction.atomic():
            Refund.objects.filter(pk=refund_.pk, state=State.ASKED).update(stripe_id=result.id)
            _set_state(refund_, result.status, now)


def apply_refund_event(*, payment: Payment, data: Mapping[str, Any], now: datetime) -> str:
    """Apply a `refund.*` event to our refund and return the outcome. Runs in the caller's transaction."""
    existing = Refund.objects.filter(payment=payment, stripe_id=str(data.get("id"))).first()
    if existing is None:
        return "not requested through the portal"
    _set_state(existing, str(data.get("status")), now)
    return f"refund {data.get('status')}"


def _set_state(refund_: Refund, stripe_status: str, now: datetime) -> None:
    """Store Stripe's status: pending, requires_action, succeeded, failed or canceled."""
    state = {"succeeded": State.SUCCEEDED, "failed": State.FAILED, "canceled": State.FAILED}.get(
        stripe_status, State.PENDING
    )
    changed = Refund.objects.filter(pk=refund_.pk, state__in=OPEN_STATES).update(
        state=state, error="", settled_at=None if state == State.PENDING else now
    )
    if changed and state == State.SUCCEEDED:
        ours = Refund.objects.filter(payment=refund_.payment_id, state=State.SUCCEEDED)
        total = ours.aggregate(sum=Sum("amount", default=0))["sum"]
        apply_refund(payment_id=refund_.payment_id, amount_refunded=total, now=now)


def sweep_refunds(*, now: datetime) -> int:
    """Request unanswered refunds again while Stripe still knows their key, and return their number."""
    waiting = Refund.objects.filter(
        state=State.ASKED,
        asked_at__lte=now - REQUEST_GRACE_PERIOD,
        asked_at__gt=now - NEVER_RESEND_AFTER,
    ).select_related("payment")
    count = 0
    for unanswered in waiting.order_by("asked_at", "pk")[:50]:
        _request_refund(unanswered, now)
        count += 1
    return count
