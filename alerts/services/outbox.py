"""Write notifications to the outbox, in the same transaction as the change that they report.

The delivery process polls the table, so a committed row is sent without further steps.
"""

from datetime import datetime, timedelta

from alerts.channels import Message
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.messages import to_payload
from alerts.models import (
    FIRING_KINDS,
    Channel,
    Notification,
    NotificationState,
    SystemAlert,
)

# A message that is not delivered within this time after it became due is marked as failed, unless it is still needed
# (see `NotificationQuerySet.outdated`).
DELIVERY_DEADLINE = timedelta(hours=24)
REMINDER_DEADLINE = timedelta(hours=1)


def enqueue_notification(
    *,
    channel: Channel,
    kind: MessageKind,
    key: str,
    stream: str,
    message: Message,
    now: datetime,
    alert: SystemAlert | None = None,
    not_before: datetime | None = None,
    state: NotificationState = NotificationState.WAITING,
) -> Notification | None:
    """Create a notification and return it, or return None if a notification with this key exists."""
    due_at = max(now, not_before or now)
    lifetime = REMINDER_DEADLINE if kind == MessageKind.REMINDER else DELIVERY_DEADLINE
    notification, created = Notification.objects.get_or_create(
        idempotency_key=key,
        defaults={
            "alert": alert,
            "channel": channel,
            "kind": kind,
            "stream": stream,
            "payload": to_payload(message),
            "state": state,
            "is_critical": kind == MessageKind.STORM
            or (kind in FIRING_KINDS and message.severity == Severity.CRITICAL),
            "created_at": now,
            "due_at": due_at,
            "next_attempt_at": due_at,
            "deadline_at": due_at + lifetime,
        },
    )
    return notification if created else None
