"""The type of the problems that alerting reports about itself."""

from alerts.extension_points import Severity, alert_type

alert_type("rule-failing", name="Rule failing", severity=Severity.WARNING)
