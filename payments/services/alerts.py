"""What staff must hear of about payments, at once and once."""

from datetime import datetime

from alerts import services as alerts
from alerts.impact import References
from alerts.rules import Severity
from payments.models import Payment, WebhookEvent

DEAD_EVENTS = "dead-events"


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


def tell_of_dead_events(*, now: datetime) -> None:
    """One alert for all events that were given up, however many; it ends with the last of them."""
    dead = WebhookEvent.objects.dead()
    latest = list(dead.order_by("-received_at", "-pk")[:20])
    if not latest:
        all_clear(DEAD_EVENTS, now=now)
        return
    alerts.report_problem(
        key=f"payments.{DEAD_EVENTS}",
        alert_type="dead-webhook",
        title=f"Stripe events given up: {dead.count()}",
        message=f"The latest: {latest[0].type} {latest[0].event_id}, {latest[0].outcome}. "
        "Each can be processed again or set aside.",
        severity=Severity.CRITICAL,
        source="payments",
        references=References(payment_ids=frozenset(event.object_id for event in latest) - {""}),
        now=now,
    )
