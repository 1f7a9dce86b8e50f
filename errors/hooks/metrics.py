"""Export error metrics to Prometheus. Each scrape of `/metrics` reads them from roll-ups and groups."""

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from errors.models import Discarded, ErrorGroup
from errors.queries import counts
from health.extension_points import metric_source


@metric_source("errors")
def errors() -> Iterable[Metric]:
    now = timezone.now()
    last_minutes = GaugeMetricFamily(
        "opsportal_errors_per_minute",
        "Errors per minute, over the last five minutes",
        labels=["severity"],
    )
    for severity, number in counts.count_by_severity(now - timedelta(minutes=5), now).items():
        last_minutes.add_metric([severity.value], number / 5)
    yield last_minutes

    events = CounterMetricFamily(
        "opsportal_error_events", "Errors stored since the app was registered", labels=["app"]
    )
    groups = GaugeMetricFamily(
        "opsportal_error_groups", "Error groups by state", labels=["app", "status"]
    )
    sums = ErrorGroup.objects.visible().values_list("app__slug", "status").order_by()
    by_app: dict[str, int] = {}
    for app, status, number, total in sums.annotate(n=Count("pk"), total=Sum("event_count")):
        groups.add_metric([app, status], number)
        by_app[app] = by_app.get(app, 0) + total
    for app, total in sorted(by_app.items()):
        events.add_metric([app], total)
    yield events
    yield groups

    dropped = CounterMetricFamily(
        "opsportal_error_items_discarded",
        "Items that were not stored: unsupported, over quota, unreadable, or dropped by the SDK",
        labels=["source", "category"],
    )
    for source, category, number in (
        Discarded.objects.values_list("source", "category").order_by().annotate(n=Sum("count"))
    ):
        dropped.add_metric([source, category], number)
    yield dropped
