"""Extend or cancel a hold."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from reservations.models import Reservation, Status
from reservations.models.holds import MAX_EXTENSIONS
from reservations.services.release import release_held

EXTENSION = timedelta(minutes=15)


class CannotChange(Exception):
    """The reservation is in no state for it; nothing was changed. `reason` is a problem type."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def extend(*, reservation: Reservation, now: datetime) -> Reservation:
    """The reservation with 15 minutes left from now, while it is live, at most 4 times.

    Counted from now and not from the old end, so that calls cannot be piled up into an hour's hold at once.
    Raises CannotChange; a failed call never moves the clock.
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
        raise CannotChange("limit", f"a reservation is extended at most {MAX_EXTENSIONS} times")
    raise CannotChange(
        "expired" if reservation.shown_status(now) == Status.EXPIRED else "not-active",
        f"this reservation is {reservation.shown_status(now)}",
    )


@transaction.atomic
def cancel(*, reservation: Reservation, now: datetime) -> Reservation:
    """The reservation given up and its seats freed. Again: no change. Raises CannotChange when it is past that."""
    moved = Reservation.objects.all().move(
        reservation.pk, from_=[Status.ACTIVE], to=Status.CANCELLED, ended_at=now
    )
    if moved:
        release_held([reservation.pk])
    reservation.refresh_from_db()
    if not moved and reservation.status not in (Status.CANCELLED, Status.EXPIRED):
        raise CannotChange("not-active", f"this reservation is {reservation.status}")
    return reservation
