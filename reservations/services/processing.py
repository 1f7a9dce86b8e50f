"""Keep the tickets of a buyer whose payment is in processing, such as a bank debit, which takes days."""

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
    """Extend the hold while the payment is in processing, and end the extension when the processing fails.

    The function runs in the transaction that saves the payment's status. Success is handled by complete_paid().
    """
    try:
        found = Reservation.objects.select_for_update().filter(uuid=payment.reservation_id)
        reservation = found.first()
    except ValidationError:  # The app sent a value that cannot be the id of a reservation.
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
        # The reservation is paid or cancelled, or its seats are gone. If the payment succeeds, a case is opened.
        return
    reservation.processing_payment = payment
    reservation.save(update_fields=["status", "ended_at", "expires_at", "processing_payment"])
    add_timeline_entry(payment, "seats held until it is processed", str(reservation.uuid), now=now)
