"""Alert rules about SMS and e-mails that were not delivered."""

from datetime import datetime, timedelta

from alerts.extension_points import Cadence, Measured, Reading, Severity, alert_rule
from health.queries.deliveries import count_deliveries

HOUR = timedelta(hours=1)


@alert_rule(
    "delivery.failed_sms",
    summary="Failed SMS",
    unit="messages",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence=Cadence.DELIVERY,
)
def failed_sms(since: datetime, until: datetime) -> Measured:
    return count_deliveries("sms", since, until).failed


@alert_rule(
    "delivery.failed_emails",
    summary="Failed e-mails",
    unit="messages",
    threshold=20,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-emails",
    cadence=Cadence.DELIVERY,
)
def failed_emails(since: datetime, until: datetime) -> Measured:
    return count_deliveries("email", since, until).failed


@alert_rule(
    "delivery.sms_failure_rate",
    summary="High SMS failure rate",
    unit="%",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence=Cadence.DELIVERY,
)
def sms_failure_rate(since: datetime, until: datetime) -> Measured:
    counts = count_deliveries("sms", since, until)
    if counts.failure_percent is None:
        return None
    return Reading(
        counts.failure_percent,
        samples=int(counts.total),
        message=f"{counts.undelivered:,.0f} of {counts.total:,.0f} SMS",
    )
