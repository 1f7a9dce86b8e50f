"""SMS and e-mail that did not arrive."""

from datetime import datetime, timedelta

from alerts.rules import Cadence, Measured, Reading, Severity, alert_rule
from health.models import SeriesKind
from health.queries import measurements

HOUR = timedelta(hours=1)


def _deliveries(channel: str, since: datetime, until: datetime) -> dict[str, float]:
    outcomes = ("sent", "delivered", "failed", "bounced")
    counts = measurements.counted(
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
    cadence=Cadence.DELIVERY,
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
    cadence=Cadence.DELIVERY,
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
    cadence=Cadence.DELIVERY,
)
def sms_failure_rate(since: datetime, until: datetime) -> Measured:
    counts = _deliveries("sms", since, until)
    bad = counts["failed"] + counts["bounced"]
    # An app may report attempts ("sent", then an outcome) or outcomes only: the larger is how many went out.
    total = max(counts["sent"], counts["delivered"] + bad)
    if not total:
        return None  # nothing sent is no verdict
    return Reading(100 * bad / total, samples=int(total), message=f"{bad:,.0f} of {total:,.0f} SMS")
