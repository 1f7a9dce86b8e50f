"""Show the current state: the overall status, active alerts and active users."""

from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertState, SystemAlert
from alerts.queries import ActiveSummary, active_summary
from alerts.queries.on_call import OnCall, load_schedules, on_call_for, on_call_now
from core.lib.app_access import limit
from core.lib.charts import Chart, Series
from health.extension_points import Tab, WidgetContext, overview_figures, widget
from health.models import ActiveUser, Incident, MaintenanceWindow
from health.queries import problems, values
from health.queries.components import count_in_use, load_failing
from health.services.gauges import ACTIVE_USERS, ACTIVE_WITHIN
from health.verdict import Tone

MAX_PROBLEMS = 6
MAX_ALERTS = 5
MAX_NOTICES = 3
MAX_APPS = 5


def load_summary() -> ActiveSummary:
    return active_summary(now=timezone.now())


@widget(
    "health.verdict",
    title="Right now",
    template="health/_widget_verdict.html",
    refresh=30,
    order=10,
    size="wide",
    tab=Tab.TOP,
    respects_apps=True,
)
def overall_status(context: WidgetContext) -> dict[str, object]:
    failing = context.load_once(load_failing)
    found = problems.list_problems(failing.values(), problems.load_urgent_alerts())
    in_use = context.load_once(count_in_use)
    summary = context.load_once(load_summary)
    warnings = [] if found else _list_warnings(context)
    first = found[0] if found else None
    alert = first.alerts[0] if first and first.alerts else None
    return {
        "problems": problems.add_costs(found[:MAX_PROBLEMS], now=context.now),
        "alert": alert,
        "on_call": _list_on_call(context, alert),
        "is_overdue": alert is not None and alert.is_overdue(context.now),
        "cause": problems.find_cause(first) if first else None,
        "may_acknowledge": alert is not None
        and alert.state == AlertState.OPEN
        and context.request.user.has_perm("alerts.change_systemalert"),
        "acknowledge_url": reverse("alerts:alert-acknowledge", args=[alert.pk]) if alert else "",
        "page_url": reverse("health:system-health"),
        "problem_count": len(found),
        "is_wall": context.is_wall,
        "hidden_count": max(0, len(found) - MAX_PROBLEMS),
        "tone": _tone(found, summary, warnings),
        "warnings": warnings,
        "summary": summary,
        "all_url": reverse("alerts:alert-list"),
        "component_count": in_use.count,
        "checked_at": in_use.checked_at,
        "maintenance": list(MaintenanceWindow.objects.running(context.now)[:MAX_NOTICES]),
        "incidents": list(
            Incident.objects.open().filter(is_automatic=False).newest_first()[:MAX_NOTICES]
        ),
    }


def _list_on_call(context: WidgetContext, alert: SystemAlert | None) -> list[OnCall]:
    """Return the people on call for the alert or, if there are none, in all schedules.

    Return [] if the user may not see schedules.
    """
    if not context.request.user.has_perm("alerts.view_schedule"):
        return []
    found = on_call_for(alert.alert_type, now=context.now) if alert else []
    return found or on_call_now(load_schedules(), now=context.now)


def _tone(
    found: list[problems.Problem], summary: ActiveSummary, warnings: list[tuple[str, str]]
) -> Tone:
    """Return the color of the card, which is neutral if only minor or dismissed problems remain."""
    if found:
        return problems.worst_tone(found)
    if warnings:
        return Tone.WARNING
    return Tone.OK if summary.is_all_well else Tone.NONE


def _list_warnings(context: WidgetContext) -> list[tuple[str, str]]:
    """Return a sentence and a URL for each overview figure that exceeds its limit."""
    found = []
    for figure in sorted(overview_figures, key=lambda figure: figure.order):
        if figure.describe_warning is None or not figure.is_visible:
            continue
        sentence = figure.describe_warning(context)
        if sentence:
            found.append((sentence, figure.url))
    return found


@widget(
    "alerts.active",
    title="Active alerts",
    template="health/_widget_alerts.html",
    refresh=30,
    order=30,
    size="medium",
    tab=Tab.RELIABILITY,
    respects_apps=True,
)
def active_alerts(context: WidgetContext) -> dict[str, object]:
    summary = context.load_once(load_summary)
    return {
        "summary": summary,
        "severities": [(severity.value, count) for severity, count in summary.by_severity.items()],
        "alerts": [
            {
                "alert": alert,
                "is_overdue": alert.is_overdue(context.now),
                "dismiss_url": reverse("alerts:alert-dismiss", args=[alert.pk]),
            }
            for alert in limit(SystemAlert.objects.active()).worst_first()[:MAX_ALERTS]
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
    tab=Tab.BUSINESS,
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
