"""Handle partial payments for reservations that ended before the rest was paid."""

from datetime import datetime, timedelta

from django.db.models import F

from payments.models import Payment
from payments.models.intents import PaymentQuerySet
from payments.splits import Purpose
from reservations.models import Discrepancy, Reservation, Status
from reservations.services.discrepancies import record_discrepancy

LOOKBACK = timedelta(days=60)
LOST = (Status.EXPIRED, Status.CANCELLED)


def record_partial_payments(
    reservation: Reservation, *, except_payment: int = 0, now: datetime
) -> int:
    """Open a discrepancy for each unrecorded partial payment of a reservation that has ended without booked seats.

    Returns their number. The payment with the id `except_payment` is skipped, because the caller opens a discrepancy of
    another kind for it.
    """
    payments = _unrecorded(now).filter(reservation_id=str(reservation.uuid))
    payments = payments.exclude(pk=except_payment)
    for payment in payments:
        record_discrepancy(
            kind=Discrepancy.Kind.PARTLY_PAID,
            payment=payment,
            reservation=reservation,
            detail=f"the reservation is {reservation.status}",
            now=now,
        )
    return len(payments)


def review_partial_payments(*, now: datetime) -> int:
    """Open a discrepancy for each unrecorded partial payment whose reservation expired or was cancelled.

    Return their number.
    """
    ids = set(_unrecorded(now).values_list("reservation_id", flat=True))
    lost = Reservation.objects.filter(uuid__in=ids, status__in=LOST)
    return sum(record_partial_payments(reservation, now=now) for reservation in lost)


def _unrecorded(now: datetime) -> PaymentQuerySet:
    """Return recent partial payments that were received, not refunded in full and never recorded as PARTLY_PAID."""
    recorded = Discrepancy.objects.filter(kind=Discrepancy.Kind.PARTLY_PAID).values("payment")
    return (
        Payment.objects.succeeded()
        .filter(purpose=Purpose.PART, created_at__gte=now - LOOKBACK)
        .filter(amount_received=F("amount"), amount_refunded__lt=F("amount_received"))
        .exclude(pk__in=recorded)
    )
