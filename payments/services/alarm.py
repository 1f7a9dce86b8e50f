"""What staff must hear of about payments, at once and once."""

from datetime import datetime

from alerts import services as alerts
from alerts.impact import References
from alerts.rules import Severity
from payments.models import Payment, WebhookEvent


def alarm(
    key: str,
    title: str,
    message: str,
    *,
    alert_type: str,
    severity: Severity = Severity.CRITICAL,
    payment: Payment | None = None,
    intent_id: str = "",
    now: datetime,
) -> None:
    """Open the alert with this key, or add to it. Joins the caller's transaction."""
    ids = {str(payment.uuid) if payment else "", intent_id} - {""}
    alerts.report_problem(
        key=f"payments.{key}",
        alert_type=alert_type,
        title=title,
        message=message,
        severity=severity,
        source="payments",
        references=References(payment_ids=frozenset(ids)),
        now=now,
    )


def all_clear(key: str, *, now: datetime) -> None:
    alerts.clear_problem(key=f"payments.{key}", now=now)


def event_died(event: WebhookEvent, reason: str, *, now: datetime) -> None:
    alarm(
        f"dead-event.{event.event_id}",
        f"Stripe event given up: {event.type}",
        f"{event.event_id}: {reason}. Look at it in the admin; it can be processed again or set aside.",
        alert_type="dead-webhook",
        intent_id=event.object_id,
        now=now,
    )


def event_settled(event: WebhookEvent, *, now: datetime) -> None:
    all_clear(f"dead-event.{event.event_id}", now=now)
