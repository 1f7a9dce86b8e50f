"""When a ticket type sells out, at the pace of the last hours."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from reservations.models import Line, Status, TicketType

LOOK_BACK = timedelta(hours=6)


def sold_lately(types: Iterable[TicketType], *, now: datetime) -> dict[int, int]:
    """Tickets sold within the last hours by type id."""
    sold: dict[int, int] = {}
    recent = Line.objects.filter(
        ticket_type__in=types,
        reservation__status=Status.COMPLETED,
        reservation__ended_at__gt=now - LOOK_BACK,
    )
    for type_id, quantity in recent.values_list("ticket_type", "quantity"):
        sold[type_id] = sold.get(type_id, 0) + quantity
    return sold


def sold_out_in(left: int, sold: int, period: timedelta = LOOK_BACK) -> timedelta | None:
    """How long `left` tickets last when `sold` went in `period`; None when none did."""
    if left <= 0:
        return timedelta(0)
    return period * (left / sold) if sold else None
