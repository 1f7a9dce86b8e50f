"""Alert rules on payment figures. Problems of a single payment raise their alerts in services."""

from datetime import datetime, timedelta

from django.db.models import Min, Sum

from alerts.extension_points import Reading, Severity, alert_rule
from payments.models import Payment, WebhookEvent
from payments.money import format_amounts


@alert_rule(
    "payments.stuck",
    summary="Payments with an unknown outcome",
    unit="payments",
    threshold=0,
    window=timedelta(hours=1),
    severity=Severity.HIGH,
    alert_type="payments-stuck",
    runbook="docs/payments.md#a-payment-is-stuck",
)
def stuck_payments(since: datetime, until: datetime) -> Reading:
    stuck = Payment.objects.stuck(until)
    amounts = dict(stuck.values_list("currency").annotate(sum=Sum("amount")).order_by())
    return Reading(
        stuck.count(),
        message=f"{format_amounts(amounts)} may or may not have been charged" if amounts else "",
    )


@alert_rule(
    "payments.webhook_lag",
    summary="Stripe events waiting to be processed",
    unit="s",
    threshold=600,
    window=timedelta(hours=1),
    severity=Severity.HIGH,
    alert_type="webhooks-late",
    runbook="docs/payments.md#events-wait",
)
def webhook_lag(since: datetime, until: datetime) -> float:
    oldest = WebhookEvent.objects.waiting().aggregate(at=Min("received_at"))["at"]
    return max(0.0, (until - oldest).total_seconds()) if oldest else 0.0
