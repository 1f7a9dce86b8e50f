"""Define the alert rules of payments. Other alerts, such as those about mismatches, are raised by payments.services."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Min, Sum

from alerts.extension_points import Reading, Severity, alert_rule
from payments.models import Payment, PaymentStatus, WebhookEvent
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
    depends_on=("stripe",),
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
    depends_on=("stripe",),
)
def webhook_lag(since: datetime, until: datetime) -> float:
    oldest = WebhookEvent.objects.waiting().aggregate(at=Min("received_at"))["at"]
    return max(0.0, (until - oldest).total_seconds()) if oldest else 0.0


@alert_rule(
    "payments.failed_debits",
    summary="A bank debit failed",
    unit="payments",
    threshold=0,
    window=timedelta(hours=24),
    severity=Severity.HIGH,
    alert_type="debit-failed",
    runbook="docs/payments.md#a-bank-debit-failed",
)
def failed_debits(since: datetime, until: datetime) -> Iterator[Reading]:
    """Yield a reading for each payment whose bank debit failed in this period, unless it has succeeded since."""
    failed = Payment.objects.filter(debit_failed_at__gt=since, debit_failed_at__lte=until)
    failed = failed.exclude(status=PaymentStatus.SUCCEEDED).select_related("app")
    for payment in failed.order_by("-debit_failed_at"):
        yield Reading(
            1,
            labels=(("payment", str(payment.uuid)),),
            title=f"A bank debit of {payment.formatted_amount} failed",
            message=f"The payment is {payment.uuid}, and the order is {payment.order_id or 'unknown'}. If the payment"
            " was for a reservation, its tickets are held for another 15 minutes. Ask the buyer to pay in another way.",
            metadata={
                "payment_id": str(payment.uuid),
                "order_id": payment.order_id,
                "reservation_id": payment.reservation_id,
                "app": payment.app.slug,
            },
        )
