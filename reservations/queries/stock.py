"""Read the number of tickets left, and forecast when ticket types sell out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from core.lib.forecasts import Outlook, Trend, forecast
from reservations.models import Line, Status, TicketType, WaitingEntry
from reservations.models.catalog import TicketTypeQuerySet
from reservations.models.holds import KEPT

BASES = (
    timedelta(minutes=20),  # A rush can sell a day's tickets within an hour.
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=7),
)
# A forecast uses values at intervals of FINE for the last FINE_FOR, and at intervals of COARSE before that.
FINE, COARSE = timedelta(minutes=2), timedelta(hours=1)
FINE_FOR = timedelta(hours=6)
# With fewer sold tickets, there is too little data for a forecast.
MIN_SOLD = 5


def forecast_sold_out(
    types: Sequence[TicketType], left: Mapping[int, int], *, now: datetime
) -> dict[int, Trend]:
    """Forecast for each type's id when the type sells out at the pace of the last hours or days.

    The deadline of a forecast is the end of the sale or, without one, the start of the event. Pages and alerts use this
    function, so that they show the same forecast.
    """
    sold: dict[int, list[tuple[datetime, int]]] = {}
    recent = Line.objects.filter(
        ticket_type__in=types,
        reservation__status=Status.COMPLETED,
        reservation__ended_at__gt=now - BASES[-1],
        reservation__ended_at__lte=now,
    ).order_by("reservation__ended_at")
    for type_id, ended_at, quantity in recent.values_list(
        "ticket_type", "reservation__ended_at", KEPT
    ):
        sold.setdefault(type_id, []).append((ended_at, quantity))
    return {
        type_.pk: _forecast(type_, sold.get(type_.pk, ()), left[type_.pk], now) for type_ in types
    }


def _forecast(
    type_: TicketType, sold: Sequence[tuple[datetime, int]], left: int, now: datetime
) -> Trend:
    total = sum(quantity for _, quantity in sold)
    if left > 0 and 0 < total < MIN_SOLD:
        return Trend(Outlook.NO_DATA, now, level=total)
    began_at = max(type_.sale_starts_at or type_.event.created_at, now - BASES[-1])
    first_at = min(began_at, sold[0][0]) if sold else began_at
    return forecast(
        _course(sold, first_at, now),
        limit=total + left,
        now=now,
        bases=BASES,
        deadline=type_.sale_ends_at or type_.event.starts_at,
    )


def _course(
    sold: Sequence[tuple[datetime, int]], first_at: datetime, now: datetime
) -> list[tuple[datetime, float]]:
    """Return pairs of a time and the number of tickets sold between `first_at` and that time."""
    course, place, total, at = [], 0, 0, first_at
    while True:
        while place < len(sold) and sold[place][0] <= at:
            total += sold[place][1]
            place += 1
        course.append((at, float(total)))
        if at >= now:
            return course
        at = min(now, at + (FINE if at >= now - FINE_FOR else COARSE))


@dataclass(frozen=True)
class Stock:
    """A ticket type with its number of tickets left, and a forecast of when it sells out."""

    type: TicketType
    left: int
    is_low: bool
    is_on_sale: bool
    waiting: int  # Counts the customers on the waiting list.
    # Forecasts when the type sells out. None if no ticket is left, or if no forecast was requested.
    sold_out: Trend | None = None

    @property
    def is_selling_out(self) -> bool:
        return self.sold_out is not None and self.sold_out.outlook is Outlook.EXPECTED

    @property
    def forecast(self) -> str:
        """Describe when the type will sell out. Return "" if it is already sold out."""
        trend = self.sold_out
        if trend is None:
            return ""
        deadline = self.type.sale_ends_at or self.type.event.starts_at
        if trend.outlook is Outlook.NOT_IN_SIGHT and deadline and trend.until == deadline:
            return (
                "not before the sale ends"
                if self.type.sale_ends_at
                else "not before the event starts"
            )
        return trend.text


def list_stock(
    types: TicketTypeQuerySet, *, now: datetime, forecasts_only_low: bool = False
) -> list[Stock]:
    """Return the number of tickets left and a forecast for each ticket type, sorted by event.

    A forecast reads the sales of a week. With `forecasts_only_low`, only types that are running low get one.
    """
    ordered = list(types.select_related("event").order_by("event", "pk"))
    if not ordered:
        return []
    # Query by id instead of evaluating `types` again, because a type may have been taken off sale in the meantime.
    shown = TicketType.objects.filter(pk__in=[one.pk for one in ordered])
    left = shown.available(now)
    on_sale = set(shown.on_sale(now).values_list("pk", flat=True))
    forecasted = [
        one
        for one in ordered
        if left[one.pk] and (left[one.pk] <= one.low_at or not forecasts_only_low)
    ]
    trends = forecast_sold_out(forecasted, left, now=now) if forecasted else {}
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
        is_low = remaining <= type_.low_at
        stocks.append(
            Stock(
                type_,
                remaining,
                is_low,
                is_on_sale=type_.pk in on_sale,
                waiting=waiting.get(type_.pk, 0),
                sold_out=trends.get(type_.pk),
            )
        )
    return stocks
