"""Cancel an event: stop the sale, release the event's tickets and refund what was paid for them in the portal.

A job does the work in steps, and continues after an interruption. A CancellationItem stores the outcome for each
reservation. The id of a refund is derived from the item, so that a repeated step requests the same refund again.
"""

import time
import uuid
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction

from payments import services as payments
from payments.models import Payment, Refund
from reservations.models import Cancellation, CancellationItem, Event, Reservation, Status
from reservations.models.cancellations import Outcome
from reservations.services.hold import cancel
from reservations.services.release import release_sold

MAX_SECONDS = 35.0
BATCH_SIZE = 500
# A payment for a cancelled hold, such as a bank debit, may succeed days later, and must then be refunded as well.
WATCHED_FOR = timedelta(days=60)


class AlreadyCancelled(Exception):
    """The event has been cancelled before."""


@transaction.atomic
def cancel_event(*, event: Event, reason: str, user: User, now: datetime) -> Cancellation:
    """Take the event off sale, and queue all its reservations for release and refund by `continue_cancellations`.

    Raises AlreadyCancelled if the event was cancelled before.
    """
    stopped = Event.objects.filter(pk=event.pk, cancelled_at=None)
    if not stopped.update(cancelled_at=now, is_on_sale=False):
        raise AlreadyCancelled
    cancellation = Cancellation.objects.create(
        event=event, reason=reason[:200], started_by=user, started_at=now
    )
    _add_items(cancellation)
    return cancellation


def continue_cancellations(*, now: datetime) -> int:
    """Process reservations of the events that were cancelled in the last 60 days, for about 35 seconds.

    Return the number of finished reservations.
    """
    deadline = time.monotonic() + MAX_SECONDS
    done = 0
    for cancellation in Cancellation.objects.filter(started_at__gt=now - WATCHED_FOR):
        _add_items(cancellation)
        done += _continue(cancellation, now, deadline)
    return done


def retry_failed(cancellation: Cancellation) -> int:
    """Queue the failed refunds of a cancellation again, and return their number."""
    failed = cancellation.items.filter(outcome=Outcome.FAILED)
    items = list(failed)
    for item in items:
        failed.filter(pk=item.pk).update(outcome=Outcome.PENDING, attempt=item.attempt + 1)
    Cancellation.objects.filter(pk=cancellation.pk).update(finished_at=None)
    return len(items)


def _add_items(cancellation: Cancellation) -> None:
    """Add an item for each reservation without one that is active, completed or needs a refund.

    Reopen items whose payment arrived after the release.
    """
    touched = Reservation.objects.filter(
        lines__ticket_type__event=cancellation.event_id,
        status__in=[Status.ACTIVE, Status.COMPLETED, Status.REFUND_NEEDED],
    )
    known = CancellationItem.objects.filter(cancellation=cancellation)
    new = touched.exclude(pk__in=known.values("reservation")).distinct()
    for reservation_id in list(new.order_by("pk").values_list("pk", flat=True)):
        CancellationItem.objects.get_or_create(
            cancellation=cancellation, reservation_id=reservation_id
        )
    late = known.filter(outcome=Outcome.RELEASED, reservation__status=Status.REFUND_NEEDED)
    if late.update(outcome=Outcome.PENDING) or known.unfinished().exists():
        Cancellation.objects.filter(pk=cancellation.pk).update(finished_at=None)


def _continue(cancellation: Cancellation, now: datetime, deadline: float) -> int:
    done = 0
    unfinished = cancellation.items.unfinished().order_by("pk")
    for item in unfinished.select_related("reservation")[:BATCH_SIZE]:
        if time.monotonic() > deadline:
            return done
        _process(cancellation, item, now)
        done += item.outcome not in (Outcome.PENDING, Outcome.REQUESTED)
        if item.outcome == Outcome.REQUESTED:
            break  # Stripe did not respond, so stop here. The next run continues with this item.
    if not cancellation.items.unfinished().exists():
        unfinished_row = Cancellation.objects.filter(pk=cancellation.pk, finished_at=None)
        unfinished_row.update(finished_at=now)
    return done


def _process(cancellation: Cancellation, item: CancellationItem, now: datetime) -> None:
    reservation = Reservation.objects.get(pk=item.reservation_id)
    if reservation.status == Status.ACTIVE:
        cancel(reservation=reservation, now=now)
        _finish(item, Outcome.RELEASED)
        return
    lines = list(reservation.lines.select_related("ticket_type").order_by("pk"))
    ours = [line for line in lines if line.ticket_type.event_id == cancellation.event_id]
    kept = {str(line.pk): line.kept for line in ours if line.kept}
    item.currency = lines[0].currency
    payments_ = list(
        Payment.objects.succeeded().filter(reservation_id=str(reservation.uuid)).order_by("pk")
    )
    if payments_:
        _refund_all(cancellation, item, payments_, kept, is_whole=len(ours) == len(lines), now=now)
    if kept and item.outcome in (Outcome.PENDING, Outcome.RELEASED):
        release_sold(reservation, items=kept, now=now)
    if not payments_ and reservation.paid_elsewhere:
        item.amount = sum(line.kept * line.price for line in ours)
        item.detail = reservation.paid_elsewhere[:300]
        _finish(item, Outcome.PAID_ELSEWHERE)
    elif item.outcome == Outcome.PENDING:
        _finish(item, Outcome.RELEASED)


def _refund_all(
    cancellation: Cancellation,
    item: CancellationItem,
    payments_: list[Payment],
    kept: dict[str, int],
    *,
    is_whole: bool,
    now: datetime,
) -> None:
    """Refund the payments of a reservation, and store the outcome in `item`.

    If the reservation also has tickets for other events, refund only the price of the tickets for the cancelled event.
    A repeated call continues the same refunds.
    """
    prices = dict(item.reservation.lines.values_list("pk", "price"))
    left = sum(count * prices[int(pk)] for pk, count in kept.items())
    refunded = 0
    for payment in payments_:
        form = uuid.uuid5(payment.uuid, f"cancellation {cancellation.pk} {item.attempt}")
        amount = payment.refundable if is_whole else min(left, payment.refundable)
        asked = Refund.objects.filter(uuid=form).first()
        if asked is None and not amount:
            continue
        item.payment = payment
        try:
            refund = payments.refund(
                payment=payment,
                new_refund=payments.NewRefund(
                    amount=amount,
                    reason=f"Event cancelled: {cancellation.reason}",
                    seats=Refund.Seats.RELEASE,
                    released_items=kept,
                ),
                form=form,
                user=cancellation.started_by,
                is_watched=False,
                now=now,
            )
        except payments.CannotRefund as refusal:
            item.detail = str(refusal)[:300]
            _finish(item, Outcome.FAILED)
            return
        if refund.state == Refund.State.FAILED:
            item.detail = refund.error
            _finish(item, Outcome.FAILED)
            return
        if refund.state == Refund.State.ASKED:
            item.detail = refund.error
            _finish(item, Outcome.REQUESTED)
            return
        refunded += refund.amount
        left -= refund.amount
    item.amount = refunded
    item.detail = ""
    _finish(item, Outcome.REFUNDED if refunded else Outcome.RELEASED)


def _finish(item: CancellationItem, outcome: Outcome) -> None:
    item.outcome = outcome
    item.save()
