"""Tickets left of each type, and when it sells out at the pace of the last hours."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from core.lib.formats import span
from reservations.models import Line, Status, TicketType, WaitingEntry
from reservations.models.catalog import TicketTypeQuerySet
from reservations.models.holds import KEPT

LOOKBACK = timedelta(hours=6)


def count_recently_sold(types: Iterable[TicketType], *, now: datetime) -> dict[int, int]:
    """Return the tickets sold in the last 6 hours by type id."""
    sold: dict[int, int] = {}
    recent = Line.objects.filter(
        ticket_type__in=types,
        reservation__status=Status.COMPLETED,
        reservation__ended_at__gt=now - LOOKBACK,
    )
    for type_id, quantity in recent.values_list("ticket_type", KEPT):
        sold[type_id] = sold.get(type_id, 0) + quantity
    return sold


def time_until_sold_out(left: int, sold: int, period: timedelta = LOOKBACK) -> timedelta | None:
    """Return how long `left` tickets last if `sold` were sold per `period`, or None if none were sold."""
    if left <= 0:
        return timedelta(0)
    return period * (left / sold) if sold else None


@dataclass(frozen=True)
class Stock:
    """A ticket type with its tickets left and its forecast."""

    type: TicketType
    left: int
    is_low: bool
    is_on_sale: bool
    waiting: int  # customers on the waiting list
    sold_out_in: str = ""  # "3 h" at the present pace
    lasts_until_start: bool = False  # at the present pace, tickets are left when the event begins


def list_stock(types: TicketTypeQuerySet, *, now: datetime) -> list[Stock]:
    """Return the stock of each type, ordered by event."""
    ordered = list(types.select_related("event").order_by("event", "pk"))
    if not ordered:
        return []
    # Query by id and do not evaluate `types` again: a type may have been taken off sale in between.
    shown = TicketType.objects.filter(pk__in=[one.pk for one in ordered])
    left = shown.available(now)
    on_sale = set(shown.on_sale(now).values_list("pk", flat=True))
    recently_sold = count_recently_sold(ordered, now=now)
    waiting = dict(
        WaitingEntry.objects.waiting()
        .filter(ticket_type__in=ordered)
        .order_by()
        .values_list("ticket_type")
        .annotate(count=Count("pk"))
    )
    stocks = []
    for type_ in ordered:
        remaining = left[type_.pk]
        sold_out_in = time_until_sold_out(remaining, recently_sold.get(type_.pk, 0))
        is_low = remaining <= type_.low_at
        starts_at = type_.event.starts_at
        lasts = bool(sold_out_in and starts_at and now + sold_out_in > starts_at > now)
        stocks.append(
            Stock(
                type_,
                remaining,
                is_low,
                is_on_sale=type_.pk in on_sale,
                waiting=waiting.get(type_.pk, 0),
                sold_out_in=span(sold_out_in) if sold_out_in and not lasts else "",
                lasts_until_start=lasts,
            )
        )
    return stocks
