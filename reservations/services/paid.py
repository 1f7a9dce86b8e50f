"""A payment succeeded or was given back: what that means for its reservation.

Runs inside the transaction that saves the payment, so that money and seat are saved together. Whatever the state of
the reservation, the money is accounted for: as seats, or as a discrepancy that staff must settle.
"""

import logging
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import OperationalError, transaction

from payments.models import Payment
from payments.services.apply import add_timeline_entry
from reservations.models import Discrepancy, Line, Reservation, Status, TicketType
from reservations.services.discrepancies import close_refunded, record_discrepancy
from reservations.services.locks import lock_ticket_types
from reservations.services.release import mark_expired, release_held

log = logging.getLogger(__name__)
Kind = Discrepancy.Kind


def complete_paid(*, payment: Payment, now: datetime) -> None:
    """Give the payment its seats, or note why it has none. Again for the same payment: no change."""
    try:
        with transaction.atomic():
            _complete_paid(payment, now)
    except OperationalError:
        raise  # a lock or a lost connection: the whole event is tried again
    except Exception as error:
        # A fault of ours must not undo the fact that somebody paid.
        log.exception("completing failed", extra={"payment": str(payment.uuid)})
        record_discrepancy(kind=Kind.FAILED, payment=payment, detail=type(error).__name__, now=now)


def _complete_paid(payment: Payment, now: datetime) -> None:
    reservation = _locked(payment.reservation_id)
    if reservation is None:
        record_discrepancy(
            kind=Kind.UNKNOWN, payment=payment, detail=payment.reservation_id, now=now
        )
    elif reservation.payment_id == payment.pk:
        return
    elif reservation.payment_id or reservation.paid_elsewhere:
        record_discrepancy(
            kind=Kind.SECOND_PAYMENT, payment=payment, reservation=reservation, now=now
        )
    elif reservation.status == Status.ACTIVE:
        sell_held(reservation)
        _set_status(reservation, Status.COMPLETED, payment, now)
    elif reservation.status == Status.COMPLETED:
        _set_status(reservation, Status.COMPLETED, payment, now, ended_at=reservation.ended_at)
    elif reservation.status in (Status.EXPIRED, Status.CANCELLED) and _reacquire(reservation, now):
        _set_status(reservation, Status.COMPLETED, payment, now)
    else:
        was = reservation.status
        _set_status(reservation, Status.REFUND_NEEDED, payment, now)
        record_discrepancy(
            kind=Kind.SOLD_OUT,
            payment=payment,
            reservation=reservation,
            detail=f"was {was}",
            now=now,
        )


def _locked(reservation_id: str) -> Reservation | None:
    try:
        return Reservation.objects.select_for_update().filter(uuid=reservation_id).first()
    except ValidationError:  # not even a UUID
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
    reservation.ended_at = ended_at or now
    reservation.save(update_fields=["status", "payment", "ended_at"])
    add_timeline_entry(
        payment, f"reservation {status.label.lower()}", str(reservation.uuid), now=now
    )


def sell_held(reservation: Reservation) -> None:
    for line in reservation.lines.order_by("ticket_type"):
        TicketType.objects.all().sell_held(line.ticket_type_id, line.quantity)


class _NoneLeft(Exception):
    pass


def _reacquire(reservation: Reservation, now: datetime) -> bool:
    """Take the seats of a hold that was lost, all or none, expired holds of others included."""
    lines = list(reservation.lines.order_by("ticket_type"))
    ids = {line.ticket_type_id for line in lines}
    try:
        with transaction.atomic():
            overdue = Reservation.objects.overdue(now).holding(list(ids))
            reclaimed = mark_expired(overdue.select_for_update(skip_locked=True), now)
            others = Line.objects.filter(reservation__in=reclaimed)
            lock_ticket_types(ids | set(others.values_list("ticket_type", flat=True)))
            release_held(reclaimed)
            for line in lines:
                if not TicketType.objects.all().sell_unheld(line.ticket_type_id, line.quantity):
                    raise _NoneLeft
    except _NoneLeft:
        return False
    return True


def handle_refund(*, payment: Payment, now: datetime) -> None:
    """All of a payment went back: what was waiting for that is settled; sold seats become a question to staff."""
    close_refunded(payment=payment, now=now)
    reservation = Reservation.objects.select_for_update().filter(payment=payment).first()
    if reservation is None:
        return
    if reservation.status == Status.REFUND_NEEDED:
        _set_status(reservation, Status.REFUNDED, payment, now)
    elif reservation.status == Status.COMPLETED:
        record_discrepancy(
            kind=Kind.SEAT_WITHOUT_MONEY, payment=payment, reservation=reservation, now=now
        )
