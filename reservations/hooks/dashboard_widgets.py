from django.urls import reverse

from health.extension_points import Tab, WidgetContext, widget
from reservations.models import Status, TicketType
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
    stocks = list_stock(TicketType.objects.on_sale(context.now), now=context.now)
    low = [stock for stock in stocks if stock.is_low]
    return {
        "held_seats": stats.seats[Status.ACTIVE],
        "processing_seats": stats.processing_seats,
        "sold_seats": stats.seats[Status.COMPLETED],
        "expired_seats": stats.seats[Status.EXPIRED],
        "reservation_count": sum(stats.reservations.values()),
        "oldest_active_at": stats.oldest_active_at,
        "refund_needed": stats.refund_needed,
        "drift": stats.drift,
        "low": low[:5],
        "low_count": len(low),
        "on_sale_count": len(stocks),
        "cleanup": stats.cleanups[0] if stats.cleanups else None,
        "needs_attention": bool(stats.refund_needed or stats.drift),
        "url": reverse("reservations:overview"),
        "inbox_url": reverse("reservations:inbox"),
    }
