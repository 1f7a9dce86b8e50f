"""Release expired holds, either for a buyer who needs the tickets or in the periodic clean-up."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from reservations.models import Cleanup, Line, Reservation, Status, TicketType
from reservations.models.holds import ReservationQuerySet
from reservations.services.locks import set_lock_timeout

CHUNK_SIZE = 500
CLEANUP_HISTORY = timedelta(days=30)


@dataclass(frozen=True)
class Released:
    reservation_count: int = 0
    seat_count: int = 0

    def __bool__(self) -> bool:
        return self.reservation_count > 0

    def __add__(self, other: "Released") -> "Released":
        return Released(
            self.reservation_count + other.reservation_count, self.seat_count + other.seat_count
        )


def reclaim(*, ticket_type_ids: list[int], now: datetime) -> Released:
    """Release up to CHUNK_SIZE expired holds on these types, for a buyer who needs the tickets."""
    with transaction.atomic():
        set_lock_timeout()
        # Wait for rows that a concurrent buyer is reclaiming, so that the seats are free when this function returns.
        overdue = Reservation.objects.overdue(now).holding(ticket_type_ids)
        return _expire(overdue.select_for_update(), now)


def release_expired(*, now: datetime) -> Released:
    """Release the expired holds that are not locked, in short transactions, and record the run in the history."""
    started = time.monotonic()
    total = Released()
    # Skip locked rows, because another transaction is completing, extending or releasing the reservation.
    overdue = Reservation.objects.overdue(now).select_for_update(skip_locked=True)
    while chunk := _expire(overdue, now):
        total += chunk
    Cleanup.objects.create(
        at=now,
        reservation_count=total.reservation_count,
        seat_count=total.seat_count,
        duration_ms=round((time.monotonic() - started) * 1000),
    )
    Cleanup.objects.filter(at__lt=now - CLEANUP_HISTORY).delete()
    return total


@transaction.atomic
def _expire(overdue: ReservationQuerySet, now: datetime) -> Released:
    picked = mark_expired(overdue, now)
    return Released(len(picked), release_held(picked))


def mark_expired(overdue: ReservationQuerySet, now: datetime) -> list[int]:
    """Lock and expire up to CHUNK_SIZE reservations of a `select_for_update` queryset, and return their ids.

    The caller must release their seats in the same transaction.
    """
    picked = list(overdue.order_by("pk").values_list("pk", flat=True)[:CHUNK_SIZE])
    Reservation.objects.filter(pk__in=picked).update(status=Status.EXPIRED, ended_at=now)
    return picked


def release_held(reservation_ids: Iterable[int]) -> int:
    """Release the seats of reservations that this transaction has expired or cancelled, and return their number."""
    seats: Counter[int] = Counter()
    for type_id, quantity in Line.objects.filter(reservation__in=reservation_ids).values_list(
        "ticket_type", "quantity"
    ):
        seats[type_id] += quantity
    for type_id in sorted(seats):
        TicketType.objects.all().release_held(type_id, seats[type_id])
    return seats.total()


@transaction.atomic
def release_sold(
    reservation: Reservation, *, items: Mapping[str, int] | None = None, now: datetime
) -> int:
    """Put sold tickets of a completed reservation on sale again, and return their number.

    `items` maps the id of a line, as a string, to the number of tickets. Without `items`, all tickets are released. The
    reservation becomes `refunded` when it has no tickets left. Tickets that were released before are not released
    again. Returns 0 for a reservation in any other status.
    """
    locked = Reservation.objects.select_for_update().get(pk=reservation.pk)
    if locked.status != Status.COMPLETED:
        return 0
    seats = left = 0
    for line in locked.lines.order_by("ticket_type"):
        count = line.kept if not items else min(line.kept, max(0, items.get(str(line.pk), 0)))
        if count:
            Line.objects.filter(pk=line.pk).update(released=F("released") + count)
            TicketType.objects.all().release_sold(line.ticket_type_id, count)
        seats += count
        left += line.kept - count
    if not left:
        Reservation.objects.filter(pk=locked.pk).update(status=Status.REFUNDED, ended_at=now)
    return seats
