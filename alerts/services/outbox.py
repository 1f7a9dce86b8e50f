"""Writing to the outbox, in the same transaction as the change that a message reports."""

from datetime import datetime, timedelta

from alerts.channels import Message
from alerts.channels.base import MessageKind
from alerts.messages import to_payload
from alerts.models import Channel, Notification, SystemAlert
from core.lib import queue

# Messages not delivered by then are outdated, and are shown as failed.
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
) -> Notification | None:
    """Create a notification and return it, or None if one with this idempotency key exists."""
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
            "created_at": now,
            "next_attempt_at": due_at,
            "deadline_at": due_at + lifetime,
        },
    )
    if not created:
        return None
    if due_at <= now:
        wake_worker(notification.pk)
    return notification


def wake_worker(notification_id: int) -> None:
    """Queue the delivery now instead of at the next sweep."""
    queue.enqueue("alerts.tasks.deliver", notification_id=notification_id)
