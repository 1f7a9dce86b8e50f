"""The portal's own panels, most telling first."""

from datetime import timedelta

from django.urls import reverse

from alerts.queries import active_summary
from health import verdict
from health.dashboard import WidgetContext, widget
from health.models import Component, Series, SeriesKind
from health.queries import measurements
from health.verdict import Status
from opsportal.jobs import services as jobs
from opsportal.lib.charts import Chart, Threshold
from opsportal.lib.charts import Series as Line


@widget(
    "health.verdict",
    title="Right now",
    template="health/_widget_verdict.html",
    refresh=30,
    order=10,
    size="wide",
)
def verdict_in_words(context: WidgetContext) -> dict[str, object]:
    components = list(Component.objects.in_use().in_order())
    failing = [c for c in components if c.status in (Status.DEGRADED, Status.UNHEALTHY)]
    return {
        "status": verdict.overall((c.is_required, Status(c.status)) for c in components),
        "failing": sorted(failing, key=lambda c: (c.status != Status.UNHEALTHY, not c.is_required)),
        "component_count": len(components),
        "checked_at": max((c.last_at for c in components if c.last_at), default=None),
    }


@widget(
    "alerts.active",
    title="Active alerts",
    template="health/_widget_alerts.html",
    refresh=30,
    order=20,
    size="medium",
)
def active_alerts(context: WidgetContext) -> dict[str, object]:
    summary = active_summary(limit=5, now=context.now)
    return {
        "summary": summary,
        "alerts": [
            {
                "alert": alert,
                "is_overdue": alert.is_overdue(context.now),
                "dismiss_url": reverse("alerts:alert-dismiss", args=[alert.pk]),
            }
            for alert in summary.alerts
        ],
        "may_change": context.request.user.has_perm("alerts.change_systemalert"),
        "back": reverse("health:system-health"),
        "here": "#widget-alerts-active",
        "all_url": reverse("admin:alerts_systemalert_changelist"),
    }


@widget(
    "health.checks",
    title="Checks",
    template="health/_widget_checks.html",
    refresh=60,
    order=300,
    size="medium",
)
def all_checks(context: WidgetContext) -> dict[str, object]:
    return {"components": list(Component.objects.checks().filter(is_enabled=True).in_order())}


@widget(
    "health.response_times",
    title="Response times",
    template="health/_widget_response_times.html",
    refresh=60,
    order=200,
    size="medium",
)
def response_times(context: WidgetContext) -> dict[str, object]:
    kinds = [
        (SeriesKind.REQUEST, "Requests"),
        (SeriesKind.FUNCTION, "Functions"),
        (SeriesKind.PAGE, "Page loads"),
    ]
    sums = [
        (label, measurements.latency(Series.objects.total(kind), context.since, context.now), kind)
        for kind, label in kinds
    ]
    shown = max(sums, key=lambda entry: (entry[1].count > 0, entry[2] == SeriesKind.REQUEST))
    slots = measurements.latency_in_slots(
        Series.objects.total(shown[2]), context.since, context.now
    )
    chart = Chart(
        title=f"{shown[0]}: how long they take",
        times=list(slots),
        series=[
            Line(label, [slot.percentile(q) for slot in slots.values()], kind="line")
            for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        ],
        unit="ms",
        thresholds=[Threshold(3_000, "slow: 3 s", "warning")],
        empty="Nothing measured in this time yet.",
    )
    return {
        "chart": chart,
        "kinds": [
            {
                "label": label,
                "count": summary.count,
                "p50": summary.percentile(0.5),
                "p95": summary.percentile(0.95),
                "p99": summary.percentile(0.99),
                "failure_percent": 100 * (summary.failure_share or 0),
            }
            for label, summary, _ in sums
        ],
    }


@widget(
    "health.queue",
    title="Background work",
    template="health/_widget_queue.html",
    refresh=30,
    order=310,
    size="medium",
)
def queue(context: WidgetContext) -> dict[str, object]:
    return {"queue": jobs.queue_state(context.now)}


@widget(
    "health.jobs",
    title="Scheduled jobs",
    template="health/_widget_jobs.html",
    refresh=60,
    order=320,
    size="wide",
)
def scheduled_jobs(context: WidgetContext) -> dict[str, object]:
    lines = jobs.job_overview(context.now)
    trouble = [line for line in lines if line.is_late or line.last_outcome in ("failed", "lost")]
    return {"jobs": lines, "trouble_count": len(trouble), "day": timedelta(days=1)}
