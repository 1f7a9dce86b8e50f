"""Accept a different amount than the price, by a staff decision."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from reservations.models import Discrepancy, Reservation
from reservations.services.discrepancies import close
from reservations.services.paid import book_seats


@transaction.atomic
def accept_amount(*, discrepancy: Discrepancy, note: str, user: User, now: datetime) -> bool:
    """Give the buyer the seats for the received money. If the seats are no longer available, open a new case.

    Cases of other payments stay open, except for partial payments, whose seats are booked together with this payment.
    Returns False if the case cannot be accepted or was resolved before.
    """
    if discrepancy.reservation_id is None:
        return False
    reservation = Reservation.objects.select_for_update().get(pk=discrepancy.reservation_id)
    settlement = f"amount accepted: {note}" if note else "amount accepted"
    discrepancy.reservation = reservation
    if not discrepancy.can_be_accepted or not close(
        discrepancy, settlement=settlement, user=user, now=now
    ):
        return False
    book_seats(reservation, discrepancy.payment, now)
    return True
