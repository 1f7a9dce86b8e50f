"""Extend holds while the payment provider is unavailable, because buyers cannot pay during this time."""

from datetime import datetime, timedelta

from django.db import transaction

from payments.models import ProviderOutage
from payments.services import check_provider
from reservations.models import Event, HoldExtension, Reservation, Status

# Holds that end within this time are extended. The job runs every minute, so a run that is a few minutes late loses no
# hold.
EXTEND_BEFORE = timedelta(minutes=5)
# Each run during the outage moves the end of these holds to this long after the run, up to the limit of their event.
EXTENSION_LENGTH = timedelta(minutes=10)
CHUNK_SIZE = 200


def extend_during_outage(*, now: datetime) -> int:
    """Extend the holds of events that opted in, if the payment provider is unavailable. Return the number of holds."""
    opted_in = Event.objects.filter(extends_holds_in_outages=True)
    if not opted_in.exists():
        return 0
    outage = check_provider(now=now)
    if outage is None:
        return 0
    # A hold that has expired since the outage began is extended too, unless its tickets were released.
    due = Reservation.objects.active().filter(
        expires_at__gt=outage.started_at,
        expires_at__lt=now + EXTEND_BEFORE,
        lines__ticket_type__event__in=opted_in,
    )
    extended, last_pk = 0, 0
    while True:
        pks = list(
            due.filter(pk__gt=last_pk)
            .order_by("pk")
            .values_list("pk", flat=True)
            .distinct()[:CHUNK_SIZE]
        )
        if not pks:
            return extended
        with transaction.atomic():
            extended += sum(_extend(pk, outage, now) for pk in pks)
        last_pk = pks[-1]


def _extend(pk: int, outage: ProviderOutage, now: datetime) -> bool:
    reservation = Reservation.objects.select_for_update().filter(pk=pk).first()
    if reservation is None or reservation.status != Status.ACTIVE:
        return False
    limits = Event.objects.filter(ticket_types__lines__reservation=pk).values_list(
        "max_outage_minutes", flat=True
    )
    first = reservation.outage_extensions.order_by("pk").first()
    planned_end = first.ended_before if first else reservation.expires_at
    until = min(now + EXTENSION_LENGTH, planned_end + timedelta(minutes=min(limits)))
    if until <= max(reservation.expires_at, now):
        return False  # The hold has reached the maximum extension of its event.
    HoldExtension.objects.create(
        reservation=reservation,
        outage=outage,
        at=now,
        ended_before=reservation.expires_at,
        ends_at=until,
    )
    reservation.expires_at = until
    reservation.save(update_fields=["expires_at"])
    return True
