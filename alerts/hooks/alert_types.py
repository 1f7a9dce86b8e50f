"""Register alert types for problems with alerting itself and for alerts from other systems."""

from alerts.extension_points import Severity, alert_type

alert_type("rule-failing", name="Rule failing", severity=Severity.WARNING)
alert_type("received-alertmanager", name="Alert from Alertmanager", severity=Severity.WARNING)
alert_type("received-grafana", name="Alert from Grafana", severity=Severity.WARNING)
alert_type("received-generic", name="Alert from another system", severity=Severity.WARNING)
