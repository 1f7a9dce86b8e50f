"""Book seats for an amount that differs from the price, if staff accept the amount."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from reservations.models import Discrepancy, Reservation
from reservations.services.discrepancies import close
from reservations.services.paid import book_seats


@transaction.atomic
def accept_amount(*, discrepancy: Discrepancy, note: str, user: User, now: datetime) -> bool:
    """Book the seats for the received amount, and return True if the discrepancy was resolved.

    When the seats are booked, the discrepancies about the reservation's partial payments are resolved as well. If the
    seats are no longer available, the function opens a new discrepancy. Returns False if the discrepancy cannot be
    accepted or was resolved before.
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
