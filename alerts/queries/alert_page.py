"""Read the data that the page of an alert shows in addition to the alert itself."""

from datetime import datetime, timedelta

from alerts.messages import format_clear_condition, format_value
from alerts.models import AlertType, RuleReading, SystemAlert
from core.lib.charts import Chart, Series, Threshold
from core.releases.queries import mark_deploys

MAX_CHART_POINTS = 400


def find_type(alert: SystemAlert) -> AlertType | None:
    return AlertType.objects.filter(slug=alert.alert_type).first()


def list_earlier_episodes(alert: SystemAlert, limit: int = 10) -> list[SystemAlert]:
    """Return up to `limit` other alerts with the same key, newest first."""
    others = SystemAlert.objects.visible().filter(key=alert.key).exclude(pk=alert.pk)
    return list(others.order_by("-opened_at", "-pk")[:limit])


def build_chart(alert: SystemAlert, *, now: datetime) -> Chart | None:
    """Return a chart of the rule's value and thresholds during the alert, or None if the alert has no rule."""
    if alert.rule is None:
        return None
    since = alert.opened_at - timedelta(hours=2)
    until = min(now, (alert.resolved_at or now) + timedelta(hours=1))
    readings = list(
        RuleReading.objects.filter(rule=alert.rule, key=alert.key, at__gte=since, at__lte=until)
        .order_by("at")
        .values_list("at", "value")
    )
    step = max(1, len(readings) // MAX_CHART_POINTS)
    readings = readings[::step]
    rule = alert.rule
    thresholds = [
        Threshold(rule.threshold, f"threshold: {format_value(rule.threshold, rule.unit)}")
    ]
    clear_threshold = rule.get_limits().effective_clear_threshold()
    if clear_threshold != rule.threshold:
        label = f"resolves at: {format_clear_condition(rule)}"
        thresholds.append(Threshold(clear_threshold, label, "ok"))
    chart = Chart(
        title=rule.problem_name,
        times=[since, *(at for at, _ in readings), until],
        series=[Series("Value", [None, *(value for _, value in readings), None], kind="line")],
        unit=rule.unit,
        thresholds=thresholds,
        empty="No readings are available for this period. Readings are kept for 8 days.",
        span=(since, until),
    )
    return mark_deploys(chart)
