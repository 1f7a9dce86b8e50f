"""Register the alert types of health with their initial channels and response times."""

from datetime import timedelta

from alerts.extension_points import ALL_CHANNELS, TEAM_CHANNELS, Severity, alert_type
from health.services.status_changes import DATABASE_DOWN

SLOW_PERFORMANCE = "slow-performance"
FAILED_SMS = "failed-sms"
HIGH_USAGE = "high-usage"

# An alert that needs an immediate response is overdue after this time.
IMMEDIATELY = timedelta(minutes=5)

alert_type(
    DATABASE_DOWN,
    name="Database down",
    severity=Severity.CRITICAL,
    respond_within=IMMEDIATELY,
    channels=ALL_CHANNELS,
    escalate_to=ALL_CHANNELS,
)
alert_type(
    SLOW_PERFORMANCE,
    name="Slow performance",
    severity=Severity.HIGH,
    respond_within=timedelta(hours=1),
    channels=TEAM_CHANNELS,
    escalate_to=TEAM_CHANNELS,
)
alert_type(
    FAILED_SMS,
    name="Failed SMS",
    severity=Severity.MEDIUM,
    respond_within=timedelta(hours=4),
    channels=("email",),
    escalate_to=TEAM_CHANNELS,
)
alert_type(HIGH_USAGE, name="High usage", severity=Severity.INFO, digest_only=True)

# The types below have the default response time and channels of their severity.
alert_type("failed-check", name="Failed check", severity=Severity.HIGH)
alert_type("monitor-down", name="Monitor down", severity=Severity.HIGH)
alert_type("missed-heartbeat", name="Missed heartbeat", severity=Severity.HIGH)
alert_type("certificate-expiry", name="Certificate expiry", severity=Severity.HIGH)
alert_type("own-network-down", name="Own network down", severity=Severity.CRITICAL)
alert_type("backup", name="Backup", severity=Severity.HIGH)
