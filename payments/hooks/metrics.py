"""Export payment metrics to /metrics.

The totals are cached for 30 seconds. The other metrics are computed for each scrape.
"""

from collections.abc import Iterator

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from health.extension_points import metric_source
from payments.models import Payment, WebhookEvent
from payments.queries import stats

FRESH_SECONDS = 30


@metric_source("payments.totals")
def totals() -> Iterator[Metric]:
    counted = cache.get_or_set("payments.totals", _count, FRESH_SECONDS) or _count()
    by_status, received, prevented, events = counted
    payments = CounterMetricFamily(
        "opsportal_payments", "Requests to create a payment, by status.", labels=["status"]
    )
    for status, count in sorted(by_status.items()):
        payments.add_metric([status], count)
    yield payments
    amounts = CounterMetricFamily(
        "opsportal_payments_received",
        "Money received, in the currency's smallest unit.",
        labels=["currency"],
    )
    for currency, amount in sorted(received.items()):
        amounts.add_metric([currency], amount)
    yield amounts
    yield CounterMetricFamily(
        "opsportal_payment_duplicates_prevented",
        "Repeated requests that were not charged again.",
        value=prevented,
    )
    states = GaugeMetricFamily(
        "opsportal_webhook_events", "Stored Stripe events, by state.", labels=["state"]
    )
    for state, count in sorted(events.items()):
        states.add_metric([state], count)
    yield states


@metric_source("payments.trouble")
def trouble() -> Iterator[Metric]:
    now = timezone.now()
    waiting = WebhookEvent.objects.waiting().order_by("received_at").first()
    yield GaugeMetricFamily(
        "opsportal_payments_stuck",
        "Payments unfinished for more than 5 minutes.",
        value=Payment.objects.stuck(now).count(),
    )
    yield GaugeMetricFamily(
        "opsportal_webhook_oldest_waiting_seconds",
        "Age of the oldest pending event.",
        value=(now - waiting.received_at).total_seconds() if waiting else 0,
    )
    yield GaugeMetricFamily(
        "opsportal_payment_mismatches",
        "Open mismatches with Stripe.",
        value=stats.count_open_mismatches(),
    )


def _count() -> tuple[dict[str, int], dict[str, int], int, dict[str, int]]:
    events = WebhookEvent.objects.values_list("state").annotate(count=Count("pk")).order_by()
    attempts = stats.count_attempts()
    return attempts.by_status, attempts.received, attempts.prevented.count, dict(events)
