"""Refund payments. Each confirmed form causes at most one refund, and no refund exceeds the amount that is left."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from core.lib.formats import money
from core.lib.scrub import scrub_text
from payments import stripe_api
from payments.models import Payment, PaymentStatus, Refund
from payments.models.intents import NEVER_RESEND_AFTER
from payments.money import find_step_problem
from payments.reversals import StripeRefund
from payments.services.apply import add_timeline_entry, count_refunds
from payments.services.mismatches import record_failed_refund

State = Refund.State
REQUEST_GRACE_PERIOD = timedelta(minutes=1)
# A request waits for Stripe for less than half a minute.
LOOK_UP_AFTER = NEVER_RESEND_AFTER + timedelta(minutes=1)
SWEEP_BATCH_SIZE = 50
# See https://docs.stripe.com/api/refunds/object#refund_object-status
STATES = {
    "pending": State.PENDING,
    "requires_action": State.PENDING,
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "canceled": State.FAILED,
}


class CannotRefund(Exception):
    """The refund is not possible, for the reason in the text. Nothing was sent to Stripe."""


@dataclass(frozen=True)
class NewRefund:
    """A refund that staff confirmed, with their decision about the tickets."""

    amount: int
    reason: str
    seats: Refund.Seats = Refund.Seats.UNDECIDED
    # An empty dict releases all tickets.
    released_items: Mapping[str, int] = field(default_factory=dict)


def refund(
    *,
    payment: Payment,
    new_refund: NewRefund,
    form: uuid.UUID,
    user: User | None,
    is_watched: bool = True,
    now: datetime,
) -> Refund:
    """Record the refund of this form, request it from Stripe unless Stripe has already responded, and return it.

    `is_watched` means that a user sees the outcome immediately, so a refusal by Stripe opens no mismatch. If the call
    to Stripe fails for any reason other than a refusal, the refund stays `asked`, and the sweeper or a repeated call
    with the same form tries to finish it. Raises CannotRefund if the refund is not possible.
    """
    requested = _record_request(payment, new_refund, form, user, now)
    if requested.state == State.ASKED:
        _finish_unanswered(requested, now, is_watched=is_watched)
    requested.refresh_from_db()
    return requested


@transaction.atomic
def _record_request(
    payment: Payment, new_refund: NewRefund, form: uuid.UUID, user: User | None, now: datetime
) -> Refund:
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    existing = Refund.objects.filter(uuid=form).first()
    if existing is not None:
        return existing
    amount = new_refund.amount
    if payment.status != PaymentStatus.SUCCEEDED or not payment.intent_id:
        raise CannotRefund("only a successful payment can be refunded")
    if not 0 < amount <= payment.refundable - payment.refunds.unanswered().total():
        raise CannotRefund("the amount exceeds what is left to refund")
    problem = find_step_problem(amount, payment.currency)
    if problem:
        raise CannotRefund(problem)
    add_timeline_entry(payment, "refund requested", money(amount, payment.currency), now=now)
    return Refund.objects.create(
        uuid=form,
        payment=payment,
        amount=amount,
        reason=scrub_text(new_refund.reason[:200]),
        seats=new_refund.seats,
        released_items=dict(new_refund.released_items),
        asked_by=user,
        asked_at=now,
    )


def _finish_unanswered(refund_: Refund, now: datetime, *, is_watched: bool) -> None:
    """Request the refund, or look it up if it is so old that Stripe may have removed its idempotency key.

    Without the stored key, Stripe would refund a part of the payment a second time. Between the last request and the
    first lookup, do nothing: a lookup during a request would not find the refund that Stripe is about to make.
    """
    age = now - refund_.asked_at
    if age < NEVER_RESEND_AFTER:
        _request_refund(refund_, now, is_watched=is_watched)
    elif age >= LOOK_UP_AFTER:
        _look_up(refund_, now, is_watched=is_watched)


def _request_refund(refund_: Refund, now: datetime, *, is_watched: bool) -> None:
    """Send the request to Stripe and store the outcome. A failure other than a refusal leaves the refund `asked`."""
    payment = refund_.payment
    try:
        made = stripe_api.refund(
            intent_id=payment.intent_id or "",
            amount=refund_.amount,
            payment=payment.uuid,
            refund=refund_.uuid,
            key=refund_.stripe_idempotency_key,
        )
    except (stripe_api.InvalidRequest, stripe_api.CardDeclined) as refusal:
        _fail_unanswered(refund_, str(refusal), now, opens_case=not is_watched)
    except stripe_api.StripeFailure as failure:
        Refund.objects.unanswered().filter(pk=refund_.pk).update(error=str(failure)[:300])
    else:
        store_refunds(payment_id=payment.pk, refunds=[made], now=now)


def _look_up(refund_: Refund, now: datetime, *, is_watched: bool) -> None:
    """Store the refund if Stripe has it, and mark it as failed otherwise. It stays `asked` if the call fails."""
    try:
        known = stripe_api.refunds_of(refund_.payment.intent_id or "")
    except stripe_api.NotFound:
        known = []
    except stripe_api.StripeFailure as failure:
        Refund.objects.unanswered().filter(pk=refund_.pk).update(error=str(failure)[:300])
        return
    store_refunds(payment_id=refund_.payment_id, refunds=known, now=now)
    error = "Stripe never received the request"
    _fail_unanswered(refund_, error, now, opens_case=not is_watched)


@transaction.atomic
def _fail_unanswered(refund_: Refund, error: str, now: datetime, *, opens_case: bool) -> None:
    payment = Payment.objects.select_for_update().get(pk=refund_.payment_id)
    failed = Refund.objects.unanswered().filter(pk=refund_.pk)
    if failed.update(state=State.FAILED, error=error[:300], settled_at=now) and opens_case:
        refund_.refresh_from_db()
        expected = payment.amount_refunded + refund_.amount
        record_failed_refund(refund_, expected_refunded=expected, now=now)


@transaction.atomic
def store_refunds(*, payment_id: int, refunds: Sequence[StripeRefund], now: datetime) -> bool:
    """Store Stripe's refunds of a payment and return True if anything changed.

    Reports may arrive in any order. A refund passes through its states in one direction, so the state shows which
    report is older.
    """
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    changed = False
    for reported in refunds:
        changed |= _store_refund(payment, reported, now)
    return count_refunds(payment, now=now) or changed


def _store_refund(payment: Payment, reported: StripeRefund, now: datetime) -> bool:
    refund_ = payment.refunds.filter(stripe_id=reported.id).first()
    if refund_ is None and reported.refund_uuid is not None:
        # The portal may have requested this refund, but the response with Stripe's id was lost or has not arrived yet.
        refund_ = payment.refunds.filter(uuid=reported.refund_uuid, stripe_id=None).first()
    if refund_ is None:
        refund_ = Refund(
            payment=payment,
            amount=reported.amount,
            reason="made at Stripe",
            asked_at=reported.created_at,
        )
    state = STATES.get(reported.status, State.PENDING)
    if refund_.pk and State(refund_.state).rank >= state.rank:
        return False
    refund_.stripe_id = reported.id
    refund_.state = state
    refund_.settled_at = None if state == State.PENDING else now
    refund_.error = ""
    if state == State.FAILED:
        refund_.error = reported.failure_reason.replace("_", " ")[:300] or reported.status
    refund_.save()
    if state == State.FAILED and not refund_.is_counted:
        # count_refunds() opens a mismatch only for a refund that was counted, so open one here.
        expected = payment.amount_refunded + refund_.amount
        record_failed_refund(refund_, expected_refunded=expected, now=now)
    return True


def sweep_refunds(*, now: datetime) -> int:
    """Try to finish up to 50 refunds to which Stripe has not responded. Return the number of refunds tried.

    While Stripe still stores the idempotency keys, the refunds are requested again. After that time, they are only
    looked up: a refund that Stripe has is stored, and all others fail.
    """
    waiting = Refund.objects.unanswered().filter(asked_at__lte=now - REQUEST_GRACE_PERIOD)
    count = 0
    for unanswered in waiting.select_related("payment").order_by("asked_at", "pk")[
        :SWEEP_BATCH_SIZE
    ]:
        _finish_unanswered(unanswered, now, is_watched=False)
        count += 1
    return count
