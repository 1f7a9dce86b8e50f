"""Change reservations after their payments succeed, are refunded or are disputed.

The functions run inside the transaction that saves the payment, so that money and seats are saved together. Whatever
the reservation's status, a payment that should have booked seats but could not ends with a discrepancy.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import OperationalError, transaction
from django.db.models import Q

from core.lib.formats import money
from payments.models import Dispute, Payment, Refund
from payments.services.apply import add_timeline_entry
from payments.splits import Purpose
from reservations.models import Discrepancy, Line, Reservation, Status, TicketType
from reservations.models.holds import EXTENSION, ReservationQuerySet
from reservations.services.amounts import check_amount
from reservations.services.discrepancies import (
    close,
    close_cases,
    close_refunded,
    record_discrepancy,
)
from reservations.services.hold import end_processing
from reservations.services.locks import lock_ticket_types
from reservations.services.partial import record_partial_payments
from reservations.services.release import mark_expired, release_held, release_sold

log = logging.getLogger(__name__)
Kind = Discrepancy.Kind
# The timeline of a partial payment has this entry after the payment has extended the hold.
PARTIAL_PAYMENT = "partial payment"


def complete_paid(*, payment: Payment, now: datetime) -> None:
    """Book the seats that the payment paid for. If they cannot be booked, open a discrepancy with the reason.

    A partial payment only extends the hold until the reservation is paid, and a fee books no seats. A second call for
    the same payment changes nothing.
    """
    try:
        with transaction.atomic():
            _complete_paid(payment, now)
    except OperationalError:
        # The database was locked or unavailable. Let the caller fail, so that the webhook event is processed again.
        raise
    except Exception as error:
        # A bug in booking must not roll back the payment's success, so open a discrepancy instead.
        log.exception(
            "a paid reservation could not be completed", extra={"payment": str(payment.uuid)}
        )
        record_discrepancy(kind=Kind.FAILED, payment=payment, detail=type(error).__name__, now=now)


def _complete_paid(payment: Payment, now: datetime) -> None:
    reservation = _locked(payment.reservation_id)
    if reservation is None:
        record_discrepancy(
            kind=Kind.UNKNOWN, payment=payment, detail=payment.reservation_id, now=now
        )
        return
    if reservation.payment_id == payment.pk:
        return
    is_paid = bool(reservation.payment_id or reservation.paid_elsewhere)
    if is_paid and payment.purpose == Purpose.FULL:
        record_discrepancy(
            kind=Kind.SECOND_PAYMENT, payment=payment, reservation=reservation, now=now
        )
        return
    verdict = check_amount(payment, reservation)
    if verdict.problem:
        record_discrepancy(
            kind=Kind.AMOUNT,
            payment=payment,
            reservation=reservation,
            detail=verdict.problem,
            now=now,
        )
    elif is_paid or payment.purpose == Purpose.FEE:
        pass  # The payment is a fee, or the balance after a deposit, so there are no seats to book.
    elif verdict.left and payment.purpose == Purpose.PART:
        _keep_for_the_rest(reservation, payment, verdict.left, now)
    else:
        book_seats(reservation, payment, now)
        return
    if reservation.processing_payment_id == payment.pk:
        end_processing(reservation, payment, now)


def book_seats(reservation: Reservation, payment: Payment, now: datetime) -> None:
    """Complete the locked reservation with this payment.

    If the seats are gone, mark the reservation for a refund and open a discrepancy.
    """
    ended_at = now
    if reservation.status == Status.ACTIVE:
        sell_held(reservation)
    elif reservation.status == Status.COMPLETED:
        ended_at = reservation.ended_at or now
    elif reservation.status not in (Status.EXPIRED, Status.CANCELLED) or not _reacquire(
        reservation, now
    ):
        _record_sold_out(reservation, payment, now)
        return
    _set_status(reservation, Status.COMPLETED, payment, now, ended_at=ended_at)
    for case in Discrepancy.objects.open().filter(reservation=reservation, kind=Kind.PARTLY_PAID):
        close(case, settlement="the rest was paid", user=None, now=now)


def _record_sold_out(reservation: Reservation, payment: Payment, now: datetime) -> None:
    was = reservation.status
    _set_status(reservation, Status.REFUND_NEEDED, payment, now)
    record_discrepancy(
        kind=Kind.SOLD_OUT,
        payment=payment,
        reservation=reservation,
        detail=f"was {was}",
        now=now,
    )
    record_partial_payments(reservation, except_payment=payment.pk, now=now)


def _keep_for_the_rest(
    reservation: Reservation, payment: Payment, left: int, now: datetime
) -> None:
    """Extend the hold to give the buyer time for the next partial payment.

    If the hold has ended, open a discrepancy.
    """
    if reservation.status == Status.ACTIVE:
        if payment.timeline.filter(what=PARTIAL_PAYMENT).exists():
            return  # The payment has extended the hold before, so an app that repeats its call must not extend it.
        reservation.expires_at = max(reservation.expires_at, now + EXTENSION)
        reservation.save(update_fields=["expires_at"])
        add_timeline_entry(
            payment, PARTIAL_PAYMENT, f"{money(left, payment.currency)} left", now=now
        )
    else:
        record_partial_payments(reservation, now=now)


def _locked(reservation_id: str) -> Reservation | None:
    try:
        return Reservation.objects.select_for_update().filter(uuid=reservation_id).first()
    except ValidationError:  # The app sent a value that is not a UUID.
        return None


def _set_status(
    reservation: Reservation,
    status: Status,
    payment: Payment,
    now: datetime,
    *,
    ended_at: datetime | None = None,
) -> None:
    reservation.status = status
    reservation.payment = payment
    reservation.processing_payment = None
    reservation.ended_at = ended_at or now
    reservation.save(update_fields=["status", "payment", "processing_payment", "ended_at"])
    add_timeline_entry(
        payment, f"reservation {status.label.lower()}", str(reservation.uuid), now=now
    )


def sell_held(reservation: Reservation) -> None:
    for line in reservation.lines.order_by("ticket_type"):
        TicketType.objects.all().sell_held(line.ticket_type_id, line.quantity)


class _NotEnoughLeft(Exception):
    """Raised if too few seats of one type are left, to roll back the seats taken of other types."""


def _reacquire(reservation: Reservation, now: datetime) -> bool:
    """Sell the seats of a released hold to its buyer, either all or none."""
    return take_again(reservation, TicketType.objects.all().sell_unheld, now)


def take_again(reservation: Reservation, take: Callable[[int, int], bool], now: datetime) -> bool:
    """Take all seats of a released hold with `take`, or none. Return True on success.

    Releases expired holds on these ticket types first. Returns False if too few seats are left or an event was
    cancelled.
    """
    lines = list(reservation.lines.select_related("ticket_type__event").order_by("ticket_type"))
    if any(line.ticket_type.event.cancelled_at for line in lines):
        return False
    ids = {line.ticket_type_id for line in lines}
    try:
        with transaction.atomic():
            overdue = Reservation.objects.overdue(now).holding(list(ids))
            reclaimed = mark_expired(overdue.select_for_update(skip_locked=True), now)
            reclaimed_lines = Line.objects.filter(reservation__in=reclaimed)
            lock_ticket_types(ids | set(reclaimed_lines.values_list("ticket_type", flat=True)))
            release_held(reclaimed)
            for line in lines:
                if not take(line.ticket_type_id, line.quantity):
                    raise _NotEnoughLeft
    except _NotEnoughLeft:
        return False
    return True


def _paid_with(payment: Payment) -> ReservationQuerySet:
    """Return a queryset with the reservation that was paid with this payment, either completely or in part."""
    if Purpose(payment.purpose).adds_up and payment.reservation_id:
        return Reservation.objects.filter(Q(payment=payment) | Q(uuid=payment.reservation_id))
    return Reservation.objects.filter(payment=payment)


def release_refunded(*, payment: Payment, refund: Refund, now: datetime) -> int:
    """Release the tickets that staff chose when they requested the refund, and return their number."""
    if refund.seats != Refund.Seats.RELEASE:
        return 0
    reservation = _paid_with(payment).first()
    if reservation is None:
        return 0
    seats = release_sold(reservation, items=refund.released_items, now=now)
    if seats:
        add_timeline_entry(payment, "seats released", f"{seats} of {reservation.uuid}", now=now)
    return seats


def handle_refund(*, payment: Payment, refund: Refund | None = None, now: datetime) -> None:
    """Resolve the discrepancies that waited for a full refund, and open one if the seats are still sold.

    No discrepancy is opened if staff decided about the seats when they requested the refund.
    """
    close_refunded(payment=payment, now=now)
    reservation = _paid_with(payment).select_for_update().first()
    if reservation is None:
        return
    if reservation.status == Status.REFUND_NEEDED:
        _set_status(reservation, Status.REFUNDED, payment, now)
    elif reservation.status == Status.COMPLETED and not (refund and refund.seats):
        record_discrepancy(
            kind=Kind.SEAT_WITHOUT_MONEY, payment=payment, reservation=reservation, now=now
        )


def handle_failed_refund(*, payment: Payment, now: datetime) -> None:
    """Undo the effects of a refund that failed later.

    Resolves the discrepancy about seats without money, because the buyer has paid for the seats after all. Sets a
    reservation without seats back to `refund_needed`. The payments app opens a mismatch for the failed refund.
    """
    settlement = "the refund failed, so the seats are paid"
    close_cases(payment=payment, kind=Kind.SEAT_WITHOUT_MONEY, settlement=settlement, now=now)
    reservation = _paid_with(payment).select_for_update().first()
    if reservation is not None and reservation.status == Status.REFUNDED:
        _set_status(reservation, Status.REFUND_NEEDED, payment, now)


def handle_closed_dispute(*, payment: Payment, dispute: Dispute, now: datetime) -> None:
    """Open a discrepancy if the dispute was lost and the seats are still booked.

    If the dispute was not lost, resolve this discrepancy. If the dispute took the rest of the money, resolve the
    discrepancies that waited for a refund.
    """
    if dispute.status != Dispute.Status.LOST:
        settlement = f"dispute: {dispute.get_status_display().lower()}"
        close_cases(payment=payment, kind=Kind.DISPUTE_LOST, settlement=settlement, now=now)
        return
    if not payment.refundable:
        close_refunded(payment=payment, settlement="lost to a dispute", now=now)
    reservation = _paid_with(payment).select_for_update().first()
    if reservation is not None and reservation.status == Status.COMPLETED:
        record_discrepancy(
            kind=Kind.DISPUTE_LOST,
            payment=payment,
            reservation=reservation,
            detail=f"{dispute.formatted_amount}, dispute {dispute.stripe_id}",
            now=now,
        )
