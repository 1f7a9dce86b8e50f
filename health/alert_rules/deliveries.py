"""Alert rules about SMS and e-mails that were not delivered."""

from datetime import datetime, timedelta

from alerts.rules import Measured, Reading, Severity, alert_rule
from health.models import SeriesKind
from health.queries import values

HOUR = timedelta(hours=1)


def _deliveries(channel: str, since: datetime, until: datetime) -> dict[str, float]:
    outcomes = ("sent", "delivered", "failed", "bounced")
    counts = values.sum_values(
        SeriesKind.DELIVERY, [f"{channel}.{outcome}" for outcome in outcomes], since, until
    )
    return {outcome: counts[f"{channel}.{outcome}"] for outcome in outcomes}


@alert_rule(
    "delivery.failed_sms",
    summary="Failed SMS",
    unit="messages",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence="delivery",
)
def failed_sms(since: datetime, until: datetime) -> Measured:
    return _deliveries("sms", since, until)["failed"]


@alert_rule(
    "delivery.failed_emails",
    summary="Failed e-mails",
    unit="messages",
    threshold=20,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-emails",
    cadence="delivery",
)
def failed_emails(since: datetime, until: datetime) -> Measured:
    return _deliveries("email", since, until)["failed"]


@alert_rule(
    "delivery.sms_failure_rate",
    summary="High SMS failure rate",
    unit="%",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type="failed-sms",
    cadence="delivery",
)
def sms_failure_rate(since: datetime, until: datetime) -> Measured:
    counts = _deliveries("sms", since, until)
    bad = counts["failed"] + counts["bounced"]
    # Some apps report attempts ("sent") and then outcomes, others only outcomes. The larger number is the total.
    total = max(counts["sent"], counts["delivered"] + bad)
    if not total:
        return None  # there is no failure rate without messages
    return Reading(100 * bad / total, samples=int(total), message=f"{bad:,.0f} of {total:,.0f} SMS")
