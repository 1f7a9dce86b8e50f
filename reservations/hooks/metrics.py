"""Export reservation metrics to /metrics.

Reservations are counted per status at most twice a minute, even if the metrics are scraped more often.
"""

from collections.abc import Iterator

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from health.extension_points import metric_source
from reservations.models import Discrepancy, Reservation, TicketType, WaitingEntry

FRESH_SECONDS = 30


@metric_source("reservations.totals")
def totals() -> Iterator[Metric]:
    counts = cache.get_or_set("reservations.totals", _count, FRESH_SECONDS) or _count()
    family = CounterMetricFamily(
        "opsportal_reservations", "Reservations by status.", labels=["status"]
    )
    for status, count in sorted(counts.items()):
        family.add_metric([status], count)
    yield family
    yield GaugeMetricFamily(
        "opsportal_reservations_processing",
        "Reservations held until their payment has been processed.",
        value=Reservation.objects.processing().count(),
    )
    yield GaugeMetricFamily(
        "opsportal_reservation_discrepancies",
        "Payments that do not match their seats and are not resolved.",
        value=Discrepancy.objects.open().count(),
    )


@metric_source("reservations.waiting")
def waiting() -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "opsportal_waiting_customers",
        "Customers on the waiting lists of sold-out ticket types.",
        value=WaitingEntry.objects.waiting().count(),
    )


@metric_source("reservations.tickets")
def tickets() -> Iterator[Metric]:
    now = timezone.now()
    types = TicketType.objects.on_sale(now).select_related("event")
    left = types.available(now)
    family = GaugeMetricFamily(
        "opsportal_tickets",
        "Tickets on sale by event, type and state: capacity, sold, left.",
        labels=["event", "ticket_type", "state"],
    )
    for type_ in types.order_by("pk"):
        labels = [type_.event.slug, type_.name]
        family.add_metric([*labels, "capacity"], type_.capacity)
        family.add_metric([*labels, "sold"], type_.sold)
        family.add_metric([*labels, "left"], left[type_.pk])
    yield family


def _count() -> dict[str, int]:
    return dict(Reservation.objects.values_list("status").annotate(count=Count("pk")).order_by())
