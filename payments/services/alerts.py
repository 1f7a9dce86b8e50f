"""Raise alerts about single payments and about Stripe, one for each problem."""

from datetime import datetime

from alerts import services as alerts
from alerts.extension_points import Severity
from impact.references import References
from payments.models import Payment, WebhookEvent

DEAD_EVENTS_ALERT = "dead-events"


def raise_alert(
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
    """Open the alert with this key, or update it if it is already open.

    The function runs in the caller's transaction.
    """
    ids = {str(payment.uuid) if payment else "", intent_id} - {""}
    alerts.report_problem(
        key=f"payments.{key}",
        alert_type=alert_type,
        title=title,
        message=message,
        severity=severity,
        source="payments",
        references=References(payment_ids=frozenset(ids)),
        app=payment.app if payment else None,
        now=now,
    )


def clear_alert(key: str, *, text: str = "", now: datetime) -> None:
    """Resolve the alert with this key, if it is open."""
    alerts.clear_problem(key=f"payments.{key}", text=text, now=now)


def update_dead_event_alert(*, now: datetime) -> None:
    """Keep one alert open while there are events that failed permanently, and resolve it when there are none."""
    dead = WebhookEvent.objects.dead()
    latest = list(dead.order_by("-received_at", "-pk")[:20])
    if not latest:
        clear_alert(DEAD_EVENTS_ALERT, now=now)
        return
    alerts.report_problem(
        key=f"payments.{DEAD_EVENTS_ALERT}",
        alert_type="dead-webhook",
        title=f"Stripe events failed permanently: {dead.count()}",
        message=f"Most recent: {latest[0].type} {latest[0].event_id}, {latest[0].outcome}. "
        "Retry or ignore each event on the payments page.",
        severity=Severity.CRITICAL,
        source="payments",
        references=References(payment_ids=frozenset(event.object_id for event in latest) - {""}),
        now=now,
    )
