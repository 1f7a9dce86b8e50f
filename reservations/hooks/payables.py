"""Provide the amount and status of a reservation to the payments app."""

import uuid
from datetime import datetime

from payments.extension_points import Payable, payable_source
from reservations.models import Reservation, Status


@payable_source("reservations")
def payable_reservation(reference: uuid.UUID, now: datetime) -> Payable | None:
    # The reservation may belong to any app, because one app may reserve and another may take the payment.
    reservation = Reservation.objects.prefetch_related("lines").filter(uuid=reference).first()
    if reservation is None:
        return None
    lines = list(reservation.lines.all())
    return Payable(
        amount=sum(line.kept_amount for line in lines),
        currency=lines[0].currency if lines else "",
        status=reservation.shown_status(now),
        is_open=reservation.is_live(now),
        is_completed=reservation.status == Status.COMPLETED,
    )
