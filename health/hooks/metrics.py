"""Export metrics to Prometheus.

The metrics are read from the database, so that all processes and nodes report the same values.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

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

from alerts.extension_points import Severity
from alerts.models import Notification, SystemAlert
from alerts.queries import list_backlogs
from core.jobs import queries as jobs
from health import histogram
from health.extension_points import metric_source
from health.models import ActiveUser, Component, Incident, Latency, Series, SeriesKind, Tier, Value
from health.queries import uptime
from health.queries.database_size import database_size_bytes
from health.services.gauges import ACTIVE_WITHIN
from health.verdict import Status
from impact.queries.figures import SHOWN_STATES, figures_of
from impact.services.catch_up import catch_up

_LEVEL = {Status.HEALTHY: 1.0, Status.DEGRADED: 0.5, Status.UNHEALTHY: 0.0}
CALL_KINDS = (SeriesKind.REQUEST, SeriesKind.FUNCTION, SeriesKind.PAGE)


@metric_source("health.components")
def components() -> Iterator[Metric]:
    now = timezone.now()
    yield InfoMetricFamily(
        "opsportal_build", "The version of the portal.", value={"version": settings.VERSION}
    )
    names = ["component", "kind", "required"]
    status = GaugeMetricFamily(
        "opsportal_component_status",
        "The value is 1 if operational, 0.5 if degraded, and 0 if down.",
        labels=names,
    )
    duration = GaugeMetricFamily(
        "opsportal_component_response_seconds", "Duration of the last check.", labels=names
    )
    up = GaugeMetricFamily(
        "opsportal_component_uptime_ratio",
        "Share of successful checks in the window.",
        labels=["component", "window"],
    )
    in_use = list(Component.objects.in_use().in_order())
    for one in in_use:
        labels = [one.name, one.kind, str(one.is_required).lower()]
        if Status(one.status) in _LEVEL:
            status.add_metric(labels, _LEVEL[Status(one.status)])
            duration.add_metric(labels, one.last_duration_ms / 1000)
    for label in ("24 h", "30 d"):
        availability_of = uptime.load_availability(in_use, uptime.WINDOWS[label], now=now)
        for one in in_use:
            percent = availability_of[one.pk].percent if one.pk in availability_of else None
            if percent is not None:
                up.add_metric([one.name, label.replace(" ", "")], percent / 100)
    yield from (status, duration, up)
    yield GaugeMetricFamily(
        "opsportal_open_incidents",
        "Incidents that are not resolved.",
        value=Incident.objects.open().count(),
    )


@metric_source("health.calls")
def calls() -> Iterator[Metric]:
    """Yield counts and durations of requests, function calls and page loads, as measured by apps.

    The counters are sums of daily roll-ups. They decrease only when a day is deleted after 400 days, which Prometheus
    treats as a counter reset.
    """
    total = CounterMetricFamily("opsportal_calls", "Measured calls.", labels=["kind"])
    failed = CounterMetricFamily(
        "opsportal_calls_failed", "Measured calls that failed.", labels=["kind"]
    )
    duration = HistogramMetricFamily(
        "opsportal_call_duration_seconds", "Duration of calls.", labels=["kind"]
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
            _cumulative([row[b] or 0 for b in Latency.BUCKETS]),
            (row["total_ms"] or 0) / 1000,
        )
    yield from (total, failed, duration)
    yield from _by_app()


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    found, running_total = [], 0
    bounds = [f"{bound / 1000:g}" for bound in histogram.BOUNDS_MS] + ["+Inf"]
    for bound, count in zip(bounds, buckets, strict=True):
        running_total += count
        found.append((bound, float(running_total)))
    return found


def _by_app() -> Iterator[Metric]:
    """Yield rates per app over the last five complete minutes.

    The rates are gauges, because counters per app would require adding up all days of every series.
    """
    until = Tier.MINUTE.floor(timezone.now())
    since = until - timedelta(minutes=5)
    rate = GaugeMetricFamily(
        "opsportal_app_calls_per_minute",
        "Calls per minute over the last five minutes.",
        labels=["app", "kind"],
    )
    mean = GaugeMetricFamily(
        "opsportal_app_call_seconds",
        "Mean duration over the last five minutes.",
        labels=["app", "kind"],
    )
    failed = GaugeMetricFamily(
        "opsportal_app_calls_failed_ratio",
        "Share of failed calls over the last five minutes.",
        labels=["app", "kind"],
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
    """Yield the deliveries, counters, gauges and active users that apps reported."""
    yield from _counters()
    yield _levels()
    yield from _active_users()


def _counters() -> Iterator[Metric]:
    deliveries = CounterMetricFamily(
        "opsportal_deliveries", "SMS and e-mails by outcome.", labels=["channel", "outcome"]
    )
    counters = CounterMetricFamily(
        "opsportal_business_events", "Counters reported by apps.", labels=["app", "name"]
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
        "opsportal_business_level", "Gauges reported by apps.", labels=["app", "name"]
    )
    hour = Tier.HOUR.floor(timezone.now() - timedelta(hours=2))
    newest = Value.objects.filter(
        tier=Tier.HOUR, start__gte=hour, series__kind=SeriesKind.GAUGE
    ).order_by("start")
    latest = {
        (app or "", name): last
        for app, name, last in newest.values_list("series__app__slug", "series__name", "last")
    }
    for labels, last in sorted(latest.items()):
        gauges.add_metric(list(labels), last)
    return gauges


def _active_users() -> Iterator[Metric]:
    active = ActiveUser.objects.seen_since(timezone.now() - ACTIVE_WITHIN)
    yield GaugeMetricFamily(
        "opsportal_active_users", "Users active in the last 15 minutes.", value=active.user_count()
    )
    by_app = GaugeMetricFamily(
        "opsportal_app_active_users", "Users active in the last 15 minutes, by app.", labels=["app"]
    )
    for app, users in active.by_app():
        by_app.add_metric([app], users)
    yield by_app


@metric_source("health.portal")
def portal() -> Iterator[Metric]:
    """Yield the size of the portal's database, and the state of its task queue and scheduled jobs."""
    now = timezone.now()
    yield GaugeMetricFamily(
        "opsportal_database_size_bytes",
        "Size of the database on disk.",
        value=database_size_bytes(),
    )
    queue = jobs.queue_state(now)
    yield GaugeMetricFamily(
        "opsportal_queue_backlog", "Tasks waiting in the queue.", value=queue.backlog
    )
    yield GaugeMetricFamily(
        "opsportal_queue_oldest_seconds",
        "Age of the oldest waiting task.",
        value=queue.oldest_seconds,
    )
    yield GaugeMetricFamily("opsportal_queue_nodes", "Worker nodes.", value=len(queue.nodes))
    yield GaugeMetricFamily(
        "opsportal_queue_job_late_seconds",
        "Time for which the most overdue scheduled job has been waiting to start.",
        value=queue.late_seconds,
    )
    if queue.tick_age_seconds is not None:
        yield GaugeMetricFamily(
            "opsportal_queue_tick_age_seconds",
            "Time since the last tick of a worker.",
            value=queue.tick_age_seconds,
        )
    late = GaugeMetricFamily("opsportal_job_late", "1 if the job is overdue.", labels=["job"])
    age = GaugeMetricFamily(
        "opsportal_job_finished_age_seconds", "Time since the job last finished.", labels=["job"]
    )
    failing = GaugeMetricFamily(
        "opsportal_job_failed", "1 if the job's last run failed.", labels=["job"]
    )
    for job in jobs.job_overview(now):
        late.add_metric([job.name], float(job.is_late))
        failing.add_metric([job.name], float(job.has_failed))
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
    yield from _channels(timezone.now())
    oldest = Notification.objects.unfinished().aggregate(at=Max("next_attempt_at"))["at"]
    if oldest:
        yield GaugeMetricFamily(
            "opsportal_notification_next_attempt_seconds",
            "Time until the last waiting notification is due; negative if overdue.",
            value=(oldest - timezone.now()).total_seconds(),
        )


IMPACT_WINDOW = timedelta(days=1)


@metric_source("health.impact")
def impact() -> Iterator[Metric]:
    """Yield the orders affected by problems of the last 24 hours, with the same figures as the pages show."""
    catch_up()
    now = timezone.now()
    figures = figures_of(None, now=now, since=now - IMPACT_WINDOW)
    orders = GaugeMetricFamily(
        "opsportal_impact_orders",
        "Orders that errors and alerts of the last 24 hours affected, by state.",
        labels=["state"],
    )
    amounts = GaugeMetricFamily(
        "opsportal_impact_amount",
        "Amounts of the orders that errors and alerts of the last 24 hours affected, in the currency's smallest unit.",
        labels=["state", "currency"],
    )
    seats = GaugeMetricFamily(
        "opsportal_impact_seats",
        "Seats of the orders that errors and alerts of the last 24 hours affected, by state.",
        labels=["state"],
    )
    for state in SHOWN_STATES:
        orders.add_metric([state.value], figures.orders.get(state, 0))
        seats.add_metric([state.value], figures.seats.get(state, 0))
        for currency, amount in sorted(figures.amounts.get(state, {}).items()):
            amounts.add_metric([state.value, currency], amount)
    yield from (orders, amounts, seats)


def _channels(now: datetime) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "opsportal_channel_waiting",
        "Messages that should have been delivered by now.",
        labels=["channel"],
    )
    held = GaugeMetricFamily(
        "opsportal_channel_held",
        "Failed messages that are sent again once the channel works.",
        labels=["channel"],
    )
    oldest = GaugeMetricFamily(
        "opsportal_channel_oldest_seconds",
        "Time since the oldest waiting message was due.",
        labels=["channel"],
    )
    working = GaugeMetricFamily(
        "opsportal_channel_working", "1 if the channel accepts messages.", labels=["channel"]
    )
    for backlog in list_backlogs(now=now):
        name = [backlog.channel.name]
        waiting.add_metric(name, backlog.waiting_count)
        held.add_metric(name, backlog.held_count)
        oldest.add_metric(name, backlog.oldest_seconds)
        working.add_metric(name, float(backlog.is_working))
    yield from (waiting, held, oldest, working)
