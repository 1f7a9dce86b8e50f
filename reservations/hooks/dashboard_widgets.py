from django.urls import reverse

from health.extension_points import Tab, WidgetContext, widget
from reservations.models import Status, TicketType
from reservations.queries.drift import has_drift_alert
from reservations.queries.stats import collect_stats
from reservations.queries.stock import list_stock


@widget(
    "reservations.at_a_glance",
    title="Reservations",
    template="reservations/_widget_at_a_glance.html",
    refresh=60,
    order=200,
    size="medium",
    tab=Tab.BUSINESS,
    respects_apps=True,
)
def at_a_glance(context: WidgetContext) -> dict[str, object]:
    stats = collect_stats(now=context.now, since=context.since)
    types = TicketType.objects.on_sale(context.now)
    stocks = list_stock(types, now=context.now, forecasts_only_low=True)
    drift = has_drift_alert()
    # Like the alert rule, leave out types whose capacity is not decided yet.
    low = [stock for stock in stocks if stock.is_low and stock.type.capacity]
    return {
        "held_seats": stats.seats[Status.ACTIVE],
        "processing_seats": stats.processing_seats,
        "sold_seats": stats.seats[Status.COMPLETED],
        "expired_seats": stats.seats[Status.EXPIRED],
        "reservation_count": sum(stats.reservations.values()),
        "oldest_active_at": stats.oldest_active_at,
        "refund_needed": stats.refund_needed,
        "drift": drift,
        "low": low[:5],
        "low_count": len(low),
        "on_sale_count": len(stocks),
        "cleanup": stats.cleanups[0] if stats.cleanups else None,
        "needs_attention": bool(stats.refund_needed or drift),
        "url": reverse("reservations:overview"),
        "inbox_url": reverse("reservations:inbox"),
    }
