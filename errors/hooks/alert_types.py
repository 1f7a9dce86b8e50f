"""Define the alert types of this app with their initial channels and response times."""

from datetime import timedelta

from alerts.extension_points import ALL_CHANNELS, TEAM_CHANNELS, Severity, alert_type

HIGH_ERROR_RATE = "high-error-rate"

alert_type(
    HIGH_ERROR_RATE,
    name="High error rate",
    severity=Severity.CRITICAL,
    respond_within=timedelta(minutes=15),
    channels=TEAM_CHANNELS,
    escalate_to=ALL_CHANNELS,
)
