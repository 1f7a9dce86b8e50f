"""Extend or cancel a reservation that holds tickets."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from reservations.models import Reservation, Status
from reservations.models.holds import EXTENSION, MAX_EXTENSIONS
from reservations.services.partial import record_partial_payments
from reservations.services.release import release_held


class CannotChange(Exception):
    """The reservation's status does not allow the change; nothing was changed. `reason` is a problem type."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def extend(*, reservation: Reservation, now: datetime) -> Reservation:
    """Extend the hold to 15 minutes from now, at most 4 times and only before it expires.

    The time counts from now and not from the old end, so that repeated calls cannot add up to an hour.
    Raises CannotChange; a failed call does not change `expires_at`.
    """
    extended = (
        Reservation.objects.live(now)
        .filter(pk=reservation.pk, extensions__lt=MAX_EXTENSIONS)
        .update(
            expires_at=Greatest(F("expires_at"), now + EXTENSION), extensions=F("extensions") + 1
        )
    )
    reservation.refresh_from_db()
    if extended:
        return reservation
    if reservation.is_live(now):
        raise CannotChange("limit", f"a reservation can be extended at most {MAX_EXTENSIONS} times")
    raise CannotChange(
        "expired" if reservation.shown_status(now) == Status.EXPIRED else "not-active",
        f"this reservation is {reservation.shown_status(now)}",
    )


@transaction.atomic
def cancel(*, reservation: Reservation, now: datetime) -> Reservation:
    """Cancel the reservation and release its seats. A second call changes nothing.

    Raises CannotChange if the reservation is completed, for example, or if a bank debit for it is processing: its seats
    would be sold again although they may be paid for.
    """
    moved = Reservation.objects.filter(processing_payment=None).move(
        reservation.pk, from_=[Status.ACTIVE], to=Status.CANCELLED, ended_at=now
    )
    if moved:
        release_held([reservation.pk])
    reservation.refresh_from_db()
    if moved:
        record_partial_payments(reservation, now=now)
    elif reservation.status == Status.ACTIVE:
        raise CannotChange(
            "payment-processing", "a payment for this reservation is still being processed"
        )
    if not moved and reservation.status not in (Status.CANCELLED, Status.EXPIRED):
        raise CannotChange("not-active", f"this reservation is {reservation.status}")
    return reservation
