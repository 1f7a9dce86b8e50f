"""Writing to the outbox. Runs inside the transaction of what it tells about, so that neither is kept without the other."""

from datetime import datetime, timedelta

from alerts.channels import Message
from alerts.messages import frozen
from alerts.models import Channel, Notification, SystemAlert
from opsportal.lib import queue

# Later than this the news is history; what was not delivered by then is shown as failed.
DEADLINE = timedelta(hours=24)
REMINDER_DEADLINE = timedelta(hours=1)


def put(
    *,
    channel: Channel,
    kind: str,
    key: str,
    stream: str,
    message: Message,
    now: datetime,
    alert: SystemAlert | None = None,
    not_before: datetime | None = None,
) -> Notification | None:
    """The new notification, or None when one with this idempotency key is there already."""
    due_at = max(now, not_before or now)
    lasts = REMINDER_DEADLINE if kind == Notification.Kind.REMINDER else DEADLINE
    notification, created = Notification.objects.get_or_create(
        idempotency_key=key,
        defaults={
            "alert": alert,
            "channel": channel,
            "kind": kind,
            "stream": stream,
            "payload": frozen(message),
            "created_at": now,
            "next_attempt_at": due_at,
            "deadline_at": due_at + lasts,
        },
    )
    if not created:
        return None
    if due_at <= now:
        nudge(notification.pk)
    return notification


def nudge(notification_id: int) -> None:
    queue.enqueue("alerts.tasks.deliver", notification_id=notification_id)
