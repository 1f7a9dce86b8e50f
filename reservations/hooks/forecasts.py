"""Forecast when tickets will sell out, for the system-health page."""

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from core.lib.forecasts import Forecast, pace_quantity, soonest_key
from core.lib.formats import span
from health.extension_points import forecast_source
from reservations.models import TicketType
from reservations.queries.stock import Stock, list_stock

MAX_TYPES = 5


@forecast_source("reservations.sold_out")
def sold_out(now: datetime) -> Iterator[Forecast]:
    """Yield a forecast for each of the first ticket types to sell out, at most MAX_TYPES."""
    stocks = list_stock(TicketType.objects.on_sale(now), now=now)
    found = [(soonest_key(one.sold_out), one) for one in stocks if one.sold_out]
    for _, stock in sorted(found, key=lambda pair: (pair[0], str(pair[1].type)))[:MAX_TYPES]:
        if stock.sold_out is not None:
            yield Forecast(
                f"{stock.type} sold out",
                stock.sold_out,
                _basis(stock),
                reverse("reservations:event-page", args=[stock.type.event.slug]),
                words=stock.forecast,
            )


def _basis(stock: Stock) -> str:
    left = f"{stock.left:,} of {stock.type.capacity:,} left"
    trend = stock.sold_out
    if trend is None or not trend.basis:
        return left
    sold = f"{pace_quantity(trend.rate, 'tickets')} a day in the last {span(trend.basis)}"
    if trend.rate < 0:
        sold = f"more tickets returned than sold: {sold}"
    return f"{sold}; {left}"
