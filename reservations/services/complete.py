"""Complete a reservation at the request of an app, if it is free, paid by a payment, or paid outside the portal."""

from datetime import datetime

from django.db import transaction

from core.lib.durability import ensure_replicated
from payments.models import Payment, PaymentStatus
from payments.splits import Purpose
from reservations.models import Reservation, Status
from reservations.services.hold import CannotChange
from reservations.services.paid import complete_paid, sell_held


def complete(
    *,
    reservation: Reservation,
    payment: Payment | None = None,
    paid_elsewhere: str = "",
    now: datetime,
) -> Reservation:
    """Complete the reservation and return it. Change nothing if it is already completed.

    Tickets with a price need a successful payment for this reservation, or `paid_elsewhere`. Raises CannotChange if
    both are missing, or if the payment does not match or does not pay the whole price. Also raises CannotChange if the
    reservation has ended, unless a payment can book the seats again. The `reason` of the exception is
    `payment-missing`, `payment-not-succeeded`, `expired`, `not-active`, `amount-differs` or `sold-out`.
    """
    if payment is not None:
        return _complete_with_payment(reservation, payment, now)
    with transaction.atomic():
        costs = any(line.amount for line in reservation.lines.all())
        if costs and not paid_elsewhere:
            raise CannotChange(
                "payment-missing", "send `payment`, or the payment method in `paid_elsewhere`"
            )
        # The status is ACTIVE until the seats are released, so an expired hold can be completed up to that time.
        moved = Reservation.objects.all().move(
            reservation.pk,
            from_=[Status.ACTIVE],
            to=Status.COMPLETED,
            ended_at=now,
            paid_elsewhere=paid_elsewhere,
            processing_payment=None,
        )
        if moved:
            sell_held(reservation)
        else:
            ensure_replicated()
    reservation.refresh_from_db()
    if not moved and reservation.status != Status.COMPLETED:
        reason = "expired" if reservation.status == Status.EXPIRED else "not-active"
        raise CannotChange(reason, f"this reservation is {reservation.status}")
    return reservation


def _complete_with_payment(
    reservation: Reservation, payment: Payment, now: datetime
) -> Reservation:
    if payment.status != PaymentStatus.SUCCEEDED:
        raise CannotChange("payment-not-succeeded", f"the payment is {payment.status}")
    if payment.amount_received and not payment.refundable:
        raise CannotChange("payment-not-succeeded", "the payment has been refunded")
    if payment.reservation_id != str(reservation.uuid):
        raise CannotChange("payment-missing", "the payment is not for this reservation")
    with transaction.atomic():
        complete_paid(payment=payment, now=now)
    reservation.refresh_from_db()
    if reservation.status != Status.COMPLETED:
        case = reservation.discrepancies.open().filter(payment=payment).first()
        if case is not None and case.can_be_accepted:
            raise CannotChange("amount-differs", case.detail)
        if Purpose(payment.purpose).adds_up or payment.purpose == Purpose.FEE:
            raise CannotChange("payment-missing", "the reservation is not paid in full yet")
        raise CannotChange(
            "sold-out", "the seats are no longer available; the payment is queued for a refund"
        )
    return reservation
