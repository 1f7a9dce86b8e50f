"""Figures for Prometheus. They come from the database, so every process and every node tells the same."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Max, Sum
from django.utils import timezone
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from alerts.models import Notification, SystemAlert
from alerts.rules import Severity
from health import histogram
from health.metrics_registry import metric_source
from health.models import ActiveUser, Component, Incident, Latency, Series, SeriesKind, Tier, Value
from health.queries import uptime
from health.services.gauges import ACTIVE_WITHIN, database_size_bytes
from health.verdict import Status
from opsportal.jobs import queries as jobs

_LEVEL = {Status.HEALTHY: 1.0, Status.DEGRADED: 0.5, Status.UNHEALTHY: 0.0}
CALL_KINDS = (SeriesKind.REQUEST, SeriesKind.FUNCTION, SeriesKind.PAGE)


@metric_source("health.components")
def components() -> Iterator[Metric]:
    now = timezone.now()
    yield InfoMetricFamily(
        "opsportal_build", "The portal that answers.", value={"version": settings.VERSION}
    )
    names = ["component", "kind", "required"]
    status = GaugeMetricFamily(
        "opsportal_component_status", "1 operational, 0.5 degraded, 0 down.", labels=names
    )
    answer = GaugeMetricFamily(
        "opsportal_component_response_seconds", "How long its last answer took.", labels=names
    )
    up = GaugeMetricFamily(
        "opsportal_component_uptime_ratio",
        "Share of good answers in the window.",
        labels=["component", "window"],
    )
    in_use = list(Component.objects.in_use().in_order())
    for one in in_use:
        labels = [one.name, one.kind, str(one.is_required).lower()]
        if Status(one.status) in _LEVEL:
            status.add_metric(labels, _LEVEL[Status(one.status)])
            answer.add_metric(labels, one.last_duration_ms / 1000)
    for label in ("24 h", "30 d"):
        shares = uptime.shares(in_use, uptime.WINDOWS[label], now=now)
        for one in in_use:
            percent = shares[one.pk].percent if one.pk in shares else None
            if percent is not None:
                up.add_metric([one.name, label.replace(" ", "")], percent / 100)
    yield from (status, answer, up)
    yield GaugeMetricFamily(
        "opsportal_open_incidents", "Incidents not resolved.", value=Incident.objects.open().count()
    )


@metric_source("health.calls")
def calls() -> Iterator[Metric]:
    """Requests, function calls and page loads as apps measured them. Days add up, so these only ever grow
    (until the oldest day is removed after 400; Prometheus takes that for a restart)."""
    total = CounterMetricFamily("opsportal_calls", "Calls measured.", labels=["kind"])
    failed = CounterMetricFamily("opsportal_calls_failed", "Of them, failed.", labels=["kind"])
    duration = HistogramMetricFamily(
        "opsportal_call_duration_seconds", "How long calls took.", labels=["kind"]
    )
    sums = {name: Sum(name) for name in ("count", "failed", "total_ms", *Latency.BUCKETS)}
    for kind in CALL_KINDS:
        row = Latency.objects.filter(
            series__in=Series.objects.total(kind), tier=Tier.DAY
        ).aggregate(**sums)
        total.add_metric([kind], row["count"] or 0)
        failed.add_metric([kind], row["failed"] or 0)
        duration.add_metric(
            [kind],
            _cumulated([row[b] or 0 for b in Latency.BUCKETS]),
            (row["total_ms"] or 0) / 1000,
        )
    yield from (total, failed, duration)
    yield from _by_app()


def _cumulated(buckets: list[int]) -> list[tuple[str, float]]:
    found, sum_so_far = [], 0
    bounds = [f"{bound / 1000:g}" for bound in histogram.BOUNDS] + ["+Inf"]
    for bound, count in zip(bounds, buckets, strict=True):
        sum_so_far += count
        found.append((bound, float(sum_so_far)))
    return found


def _by_app() -> Iterator[Metric]:
    """Per app over the last five whole minutes: as counters they would be sums over every name of every day."""
    until = Tier.MINUTE.floor(timezone.now())
    since = until - timedelta(minutes=5)
    rate = GaugeMetricFamily(
        "opsportal_app_calls_per_minute", "Over the last five minutes.", labels=["app", "kind"]
    )
    mean = GaugeMetricFamily(
        "opsportal_app_call_seconds", "Mean over the last five minutes.", labels=["app", "kind"]
    )
    failed = GaugeMetricFamily(
        "opsportal_app_calls_failed_ratio", "Over the last five minutes.", labels=["app", "kind"]
    )
    rows = (
        Latency.objects.filter(tier=Tier.MINUTE, start__gte=since, start__lt=until)
        .exclude(series__app=None)
        .values_list("series__app__slug", "series__kind")
        .annotate(n=Sum("count"), bad=Sum("failed"), ms=Sum("total_ms"))
        .order_by("series__app__slug", "series__kind")
    )
    for app, kind, count, bad, ms in rows:
        labels = [app or "", kind]
        rate.add_metric(labels, count / 5)
        if count:
            mean.add_metric(labels, ms / count / 1000)
            failed.add_metric(labels, bad / count)
    yield from (rate, mean, failed)


@metric_source("health.business")
def business() -> Iterator[Metric]:
    """Deliveries, counters and gauges that apps post, and who is active in them."""
    yield from _counted()
    yield _levels()
    yield from _active_users()


def _counted() -> Iterator[Metric]:
    deliveries = CounterMetricFamily(
        "opsportal_deliveries", "Messages to people by outcome.", labels=["channel", "outcome"]
    )
    counters = CounterMetricFamily(
        "opsportal_business_events", "Counters that apps post.", labels=["app", "name"]
    )
    rows = (
        Value.objects.filter(tier=Tier.DAY)
        .exclude(series__kind=SeriesKind.GAUGE)
        .values_list("series__kind", "series__name", "series__app__slug")
        .annotate(sum=Sum("total"))
        .order_by("series__kind", "series__name", "series__app__slug")
    )
    outcomes: dict[str, float] = {}
    for kind, name, app, total in rows:
        if kind == SeriesKind.DELIVERY:
            outcomes[name] = outcomes.get(name, 0) + total
        else:
            counters.add_metric([app or "", name], total)
    for name, total in outcomes.items():
        deliveries.add_metric(name.split("."), total)
    yield from (deliveries, counters)


def _levels() -> Metric:
    gauges = GaugeMetricFamily(
        "opsportal_business_level", "Gauges that apps post.", labels=["app", "name"]
    )
    hour = Tier.HOUR.floor(timezone.now() - timedelta(hours=2))
    newest = Value.objects.filter(
        tier=Tier.HOUR, start__gte=hour, series__kind=SeriesKind.GAUGE
    ).order_by("start")
    levels = {
        (app or "", name): last
        for app, name, last in newest.values_list("series__app__slug", "series__name", "last")
    }
    for labels, last in sorted(levels.items()):
        gauges.add_metric(list(labels), last)
    return gauges


def _active_users() -> Iterator[Metric]:
    active = ActiveUser.objects.seen_since(timezone.now() - ACTIVE_WITHIN)
    yield GaugeMetricFamily(
        "opsportal_active_users", "People active in the last 15 minutes.", value=active.people()
    )
    by_app = GaugeMetricFamily("opsportal_app_active_users", "The same by app.", labels=["app"])
    for app, people in active.by_app():
        by_app.add_metric([app], people)
    yield by_app


@metric_source("health.portal")
def portal() -> Iterator[Metric]:
    """The portal's own insides: database, queue, jobs."""
    now = timezone.now()
    yield GaugeMetricFamily(
        "opsportal_database_size_bytes", "Of the database on disk.", value=database_size_bytes()
    )
    queue = jobs.queue_state(now)
    yield GaugeMetricFamily("opsportal_queue_backlog", "Tasks that wait.", value=queue.backlog)
    yield GaugeMetricFamily(
        "opsportal_queue_oldest_seconds", "How long the oldest waits.", value=queue.oldest_seconds
    )
    yield GaugeMetricFamily("opsportal_queue_nodes", "Worker nodes.", value=len(queue.nodes))
    if queue.tick_age_seconds is not None:
        yield GaugeMetricFamily(
            "opsportal_queue_tick_age_seconds",
            "Since a worker last ticked.",
            value=queue.tick_age_seconds,
        )
    late = GaugeMetricFamily("opsportal_job_late", "1 when a job is late.", labels=["job"])
    age = GaugeMetricFamily(
        "opsportal_job_finished_age_seconds", "Since the job last finished.", labels=["job"]
    )
    failing = GaugeMetricFamily(
        "opsportal_job_failed", "1 when the job's last run failed.", labels=["job"]
    )
    for job in jobs.job_overview(now):
        late.add_metric([job.name], float(job.is_late))
        failing.add_metric([job.name], float(job.last_outcome in ("failed", "lost")))
        if job.last_finished_at:
            age.add_metric([job.name], (now - job.last_finished_at).total_seconds())
    yield from (late, age, failing)


@metric_source("health.alerts")
def alerts() -> Iterator[Metric]:
    active = GaugeMetricFamily("opsportal_alerts_active", "Active alerts.", labels=["severity"])
    counts = dict(
        SystemAlert.objects.active().order_by().values_list("severity").annotate(n=Count("pk"))
    )
    for severity in Severity.values:
        active.add_metric([severity], counts.get(severity, 0))
    yield active
    outbox = GaugeMetricFamily(
        "opsportal_notifications", "Notifications in the outbox by state.", labels=["state"]
    )
    for state, count in (
        Notification.objects.order_by().values_list("state").annotate(n=Count("pk"))
    ):
        outbox.add_metric([state], count)
    yield outbox
    oldest = Notification.objects.unfinished().aggregate(at=Max("next_attempt_at"))["at"]
    if oldest:
        yield GaugeMetricFamily(
            "opsportal_notification_next_attempt_seconds",
            "Until the last waiting notification is tried; negative when overdue.",
            value=(oldest - timezone.now()).total_seconds(),
        )
