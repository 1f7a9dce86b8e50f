"""Widgets about the current state: overall status, active alerts, active users."""

from django.urls import reverse

from alerts.models import SystemAlert
from alerts.queries import active_summary
from core.lib.charts import Chart, Series
from health.extension_points import WidgetContext, widget
from health.models import ActiveUser, Component, Incident, MaintenanceWindow
from health.queries import problems, values
from health.services.gauges import ACTIVE_USERS, ACTIVE_WITHIN
from health.verdict import Tone

MAX_PROBLEMS = 6
MAX_ALERTS = 5
MAX_NOTICES = 3
MAX_APPS = 5


def load_worst_alerts() -> list[SystemAlert]:
    return list(SystemAlert.objects.active().select_related("rule").worst_first()[:20])


@widget(
    "health.verdict",
    title="Right now",
    template="health/_widget_verdict.html",
    refresh=30,
    order=10,
    size="wide",
    on_wall=True,
    is_urgent=True,
)
def overall_status(context: WidgetContext) -> dict[str, object]:
    components = list(Component.objects.in_use().in_order())
    found = problems.list_problems(components, context.load_once(load_worst_alerts))
    return {
        "problems": problems.add_costs(found[:MAX_PROBLEMS], now=context.now),
        "hidden_count": max(0, len(found) - MAX_PROBLEMS),
        "tone": found[0].tone if found else Tone.OK,
        "component_count": len(components),
        "checked_at": max((c.last_at for c in components if c.last_at), default=None),
        "maintenance": list(MaintenanceWindow.objects.running(context.now)[:MAX_NOTICES]),
        "incidents": list(
            Incident.objects.open().filter(is_automatic=False).newest_first()[:MAX_NOTICES]
        ),
    }


@widget(
    "alerts.active",
    title="Active alerts",
    template="health/_widget_alerts.html",
    refresh=30,
    order=30,
    size="medium",
    on_wall=True,
    is_urgent=True,
)
def active_alerts(context: WidgetContext) -> dict[str, object]:
    return {
        "summary": active_summary(now=context.now),
        "alerts": [
            {
                "alert": alert,
                "is_overdue": alert.is_overdue(context.now),
                "dismiss_url": reverse("alerts:alert-dismiss", args=[alert.pk]),
            }
            for alert in context.load_once(load_worst_alerts)[:MAX_ALERTS]
        ],
        "may_change": context.request.user.has_perm("alerts.change_systemalert"),
        "next_url": reverse("health:system-health"),
        "target": "#widget-alerts-active",
        "all_url": reverse("alerts:alert-list"),
    }


@widget(
    "health.users",
    title="Active users",
    template="health/_widget_users.html",
    refresh=30,
    order=40,
    size="medium",
    on_wall=True,
)
def active_users(context: WidgetContext) -> dict[str, object]:
    recent = ActiveUser.objects.seen_since(context.now - ACTIVE_WITHIN)
    slots = values.level_per_slot(ACTIVE_USERS, context.since, context.now, highest=True)
    return {
        "user_count": recent.user_count(),
        "by_app": recent.by_app()[:MAX_APPS],
        "chart": Chart(
            title="Users active within 15 minutes",
            times=list(slots),
            series=[Series("Users", list(slots.values()))],
            unit="users",
            empty="No activity was reported in this time range.",
        ),
    }
