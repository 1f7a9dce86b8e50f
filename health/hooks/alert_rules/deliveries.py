"""Define alert rules about SMS and e-mails that were not delivered."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.extension_points import Cadence, Measured, Reading, Severity, alert_rule
from health.hooks.alert_types import FAILED_SMS
from health.queries.deliveries import count_deliveries, count_deliveries_by_app

HOUR = timedelta(hours=1)


@alert_rule(
    "delivery.failed_sms",
    summary="Failed SMS",
    unit="messages",
    threshold=10,
    window=HOUR,
    severity=Severity.MEDIUM,
    alert_type=FAILED_SMS,
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
    alert_type=FAILED_SMS,
    cadence=Cadence.DELIVERY,
    min_samples=20,  # A failure rate of a few test messages would have no meaning.
)
def sms_failure_rate(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield the percentage of undelivered SMS for each app.

    The percentages are separate, because some apps count attempts and others count outcomes.
    """
    for app, counts in sorted(count_deliveries_by_app("sms", since, until).items()):
        if counts.failure_percent is not None:
            yield Reading(
                counts.failure_percent,
                samples=int(counts.total),
                labels=(("app", app),),
                message=f"{app}: {counts.undelivered:,.0f} of {counts.total:,.0f} SMS were not delivered",
            )
