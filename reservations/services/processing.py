"""Hold the tickets of a buyer whose payment takes days to be processed, such as a bank debit."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from payments.models import Payment
from payments.services.apply import add_timeline_entry
from reservations.models import Reservation, Status, TicketType
from reservations.services.hold import ON_THE_WAY, end_processing
from reservations.services.paid import take_again


@transaction.atomic
def follow_processing(*, payment: Payment, now: datetime) -> None:
    """Extend the hold while the payment is in processing, and end the extension if the payment fails.

    The function runs in the transaction that saves the payment's status. complete_paid() handles success.
    """
    try:
        found = Reservation.objects.select_for_update().filter(uuid=payment.reservation_id)
        reservation = found.first()
    except ValidationError:  # The app sent a value that is not a UUID.
        return
    if reservation is None:
        return
    if payment.status in ON_THE_WAY:
        _hold_for(reservation, payment, now)
    elif reservation.processing_payment_id == payment.pk:
        end_processing(reservation, payment, now)


def _hold_for(reservation: Reservation, payment: Payment, now: datetime) -> None:
    until = now + timedelta(days=settings.PROCESSING_HOLD_DAYS)
    if reservation.status == Status.ACTIVE:
        reservation.expires_at = max(reservation.expires_at, until)
    elif reservation.status == Status.EXPIRED and take_again(
        reservation, TicketType.objects.all().hold_first, now
    ):
        reservation.status, reservation.ended_at = Status.ACTIVE, None
        reservation.expires_at = until
    else:
        # The reservation is paid or cancelled, or its seats are gone. If the payment succeeds, complete_paid() handles
        # it.
        return
    reservation.processing_payment = payment
    reservation.save(update_fields=["status", "ended_at", "expires_at", "processing_payment"])
    add_timeline_entry(payment, "seats held until it is processed", str(reservation.uuid), now=now)
