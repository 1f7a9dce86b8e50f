"""Define alert rules about business figures that apps report: credits, gift cards and concurrent users."""

from datetime import datetime, timedelta

from alerts.extension_points import Measured, NoData, Reading, Severity, alert_rule
from health.hooks.alert_types import HIGH_USAGE
from health.models import ActiveUser, SeriesKind
from health.queries import values


@alert_rule(
    "business.credit_balance",
    summary="Low credit balance",
    unit="credits",
    threshold=100,
    below=True,
    window=timedelta(days=1),
    severity=Severity.HIGH,
    no_data=NoData.KEEP,
)
def credit_balance(since: datetime, until: datetime) -> Measured:
    return [
        Reading(level.value, labels=(("app", level.app),))
        for level in values.latest_levels("credit_balance", since=since, until=until)
    ]


@alert_rule(
    "business.failed_gift_cards",
    summary="Failed gift-card provisions",
    unit="provisions",
    threshold=5,
    window=timedelta(days=1),
    severity=Severity.HIGH,
)
def failed_gift_cards(since: datetime, until: datetime) -> Measured:
    name = "gift_card_provision_failed"
    return values.sum_values(SeriesKind.COUNTER, [name], since, until)[name]


@alert_rule(
    "activity.concurrent_users",
    summary="Many concurrent users",
    unit="people",
    threshold=100,
    window=timedelta(minutes=15),
    severity=Severity.INFO,
    alert_type=HIGH_USAGE,
)
def concurrent_users(since: datetime, until: datetime) -> Measured:
    return ActiveUser.objects.seen_since(since).user_count()
