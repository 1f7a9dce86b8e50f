"""Read the limits of alert rules."""

from alerts.evaluation import Limits
from alerts.extension_points import alert_rules
from alerts.models import AlertRule


def limits_of(name: str) -> Limits:
    """Return the current limits of a rule from code. Some measures use the limits in their queries."""
    row = AlertRule.objects.filter(name=name).first()
    if row is not None:
        return row.get_limits()
    rule = alert_rules.get(name)
    return Limits(
        threshold=rule.threshold,
        severity=rule.severity,
        below=rule.below,
        clear_threshold=rule.clear_threshold,
        min_samples=rule.min_samples,
        no_data=rule.no_data,
    )
