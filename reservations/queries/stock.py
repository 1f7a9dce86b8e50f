"""When a ticket type sells out, at the pace of the last hours."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsportal.lib.formats import span
from reservations.models import Line, Status, TicketType
from reservations.models.catalog import TicketTypeQuerySet

LOOKBACK = timedelta(hours=6)


def count_recently_sold(types: Iterable[TicketType], *, now: datetime) -> dict[int, int]:
    """Tickets sold within the last hours by type id."""
    sold: dict[int, int] = {}
    recent = Line.objects.filter(
        ticket_type__in=types,
        reservation__status=Status.COMPLETED,
        reservation__ended_at__gt=now - LOOKBACK,
    )
    for type_id, quantity in recent.values_list("ticket_type", "quantity"):
        sold[type_id] = sold.get(type_id, 0) + quantity
    return sold


def time_until_sold_out(left: int, sold: int, period: timedelta = LOOKBACK) -> timedelta | None:
    """How long `left` tickets last when `sold` went in `period`; None when none did."""
    if left <= 0:
        return timedelta(0)
    return period * (left / sold) if sold else None


@dataclass(frozen=True)
class Stock:
    """A ticket type as staff look at it."""

    type: TicketType
    left: int
    is_low: bool
    lasts: str = ""  # "3 h" at the present pace
    outlasts: bool = False  # at that pace there are some left when it begins


def list_stock(types: TicketTypeQuerySet, *, now: datetime) -> list[Stock]:
    ordered = list(types.select_related("event").order_by("event", "pk"))
    if not ordered:
        return []
    # Of these, and not of `types` asked a second time: somebody may take one off sale in between.
    left = TicketType.objects.filter(pk__in=[one.pk for one in ordered]).available(now)
    lately = count_recently_sold(ordered, now=now)
    stocks = []
    for type_ in ordered:
        remaining = left[type_.pk]
        lasts = time_until_sold_out(remaining, lately.get(type_.pk, 0))
        is_low = remaining <= type_.low_at
        begins = type_.event.starts_at
        if lasts and begins and now + lasts > begins > now:
            stocks.append(Stock(type_, remaining, is_low, outlasts=True))
        else:
            stocks.append(Stock(type_, remaining, is_low, span(lasts) if lasts else ""))
    return stocks
