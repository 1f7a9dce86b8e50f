"""What the page of an alert shows besides the alert itself."""

from datetime import datetime, timedelta

from alerts.messages import in_units
from alerts.models import AlertType, RuleReading, SystemAlert
from opsportal.lib.charts import Chart, Series, Threshold

CHART_POINTS = 400


def type_of(alert: SystemAlert) -> AlertType | None:
    return AlertType.objects.filter(slug=alert.alert_type).first()


def earlier_episodes(alert: SystemAlert, limit: int = 10) -> list[SystemAlert]:
    """The same problem's other alerts, newest first."""
    others = SystemAlert.objects.visible().filter(key=alert.key).exclude(pk=alert.pk)
    return list(others.order_by("-opened_at", "-pk")[:limit])


def chart_of(alert: SystemAlert, *, now: datetime) -> Chart | None:
    """The rule's value around the alert, against its threshold; None for a problem without a rule."""
    if alert.rule is None:
        return None
    since = alert.opened_at - timedelta(hours=2)
    until = min(now, (alert.resolved_at or now) + timedelta(hours=1))
    readings = list(
        RuleReading.objects.filter(rule=alert.rule, key=alert.key, at__gte=since, at__lte=until)
        .order_by("at")
        .values_list("at", "value")
    )
    step = max(1, len(readings) // CHART_POINTS)
    readings = readings[::step]
    rule = alert.rule
    thresholds = [Threshold(rule.threshold, f"threshold: {in_units(rule.threshold, rule.unit)}")]
    if rule.clear_threshold is not None:
        clear = in_units(rule.clear_threshold, rule.unit)
        thresholds.append(Threshold(rule.clear_threshold, f"over at: {clear}", "ok"))
    return Chart(
        title=rule.problem_name,
        times=[since, *(at for at, _ in readings), until],
        series=[Series("Value", [None, *(value for _, value in readings), None], kind="line")],
        unit=rule.unit,
        thresholds=thresholds,
        empty="No reading is kept of that time; they are kept for eight days.",
    )
