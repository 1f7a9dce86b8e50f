"""Extend or cancel a hold."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from core.lib.durability import ensure_replicated
from payments.models import Payment, PaymentStatus
from reservations.models import Reservation, Status
from reservations.models.holds import EXTENSION, MAX_EXTENSIONS
from reservations.services.partial import record_partial_payments
from reservations.services.release import release_held

# Authorized money that is not captured yet is treated like a payment in processing.
ON_THE_WAY = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_CAPTURE)


class CannotChange(Exception):
    """The reservation or its payment does not allow the change. `reason` is a problem type."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def extend(*, reservation: Reservation, now: datetime) -> Reservation:
    """Extend the hold to at least 15 minutes from now, up to 4 times.

    The 15 minutes start now and not at the old end, so repeated calls in quick succession do not add up. Raises
    CannotChange, without changing `expires_at`, if the hold has ended or was extended 4 times.
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
    """Cancel the reservation and release its seats. Change nothing if it is already cancelled or expired.

    Raises CannotChange if the reservation is completed, refunded or needs a refund. CannotChange is also raised while a
    payment such as a bank debit is being processed, because the payment may succeed after the seats have been sold
    again.
    """
    moved = Reservation.objects.filter(processing_payment=None).move(
        reservation.pk, from_=[Status.ACTIVE], to=Status.CANCELLED, ended_at=now
    )
    if moved:
        release_held([reservation.pk])
    else:
        ensure_replicated()
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


def end_processing(reservation: Reservation, payment: Payment, now: datetime) -> None:
    """Stop holding the tickets for this payment.

    If another payment for the reservation is in processing, hold the tickets for that payment. Otherwise, keep the hold
    for at most 15 minutes, in which the buyer can pay in another way.
    """
    others = Payment.objects.filter(
        reservation_id=payment.reservation_id, status__in=ON_THE_WAY
    ).exclude(pk=payment.pk)
    reservation.processing_payment = others.order_by("-pk").first()
    if reservation.processing_payment is None and reservation.status == Status.ACTIVE:
        reservation.expires_at = min(reservation.expires_at, now + EXTENSION)
    reservation.save(update_fields=["expires_at", "processing_payment"])
