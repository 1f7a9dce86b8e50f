"""Read the backlog of each channel: the number of waiting messages, their age, and whether the channel works."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q

from alerts.channels import TRANSPORTS, list_missing_fields
from alerts.models import Channel, Notification, NotificationState
from core.lib.forecasts import Points, backlog_course

MAX_COUNTED = 20_000


@dataclass(frozen=True)
class Backlog:
    """The messages that a channel should have delivered already."""

    channel: Channel
    waiting_count: int
    oldest_seconds: float  # The age of the oldest due message, or 0 if no message is due.
    # Failed messages that will be sent when the channel works again.
    held_count: int
    is_working: bool  # False if the channel is disabled, failing or not configured.

    @property
    def is_late(self) -> bool:
        return self.waiting_count > 0 or self.held_count > 0


def list_backlogs(*, now: datetime) -> list[Backlog]:
    """Return the backlog of every channel, ordered by name."""
    unfinished = Notification.objects.overdue(now).order_by().values("channel")
    waiting = {
        row["channel"]: (row["count"], row["oldest"])
        for row in unfinished.annotate(count=Count("pk"), oldest=Min("due_at"))
    }
    held = dict(
        Notification.objects.held(now)
        .order_by()
        .values_list("channel")
        .annotate(count=Count("pk", filter=Q(is_permanent_failure=False)))
    )
    return [
        Backlog(
            channel=channel,
            waiting_count=waiting.get(channel.pk, (0, None))[0],
            oldest_seconds=(now - waiting[channel.pk][1]).total_seconds()
            if channel.pk in waiting
            else 0.0,
            held_count=held.get(channel.pk, 0),
            is_working=channel.is_enabled
            and channel.retry_at is None
            and channel.kind in TRANSPORTS
            and not list_missing_fields(channel),
        )
        for channel in Channel.objects.order_by("name")
    ]


def load_backlog_course(*, now: datetime, length: timedelta) -> Points:
    """Return the number of overdue messages in each minute of the last `length`, or [] if no message is overdue now.

    Only the newest MAX_COUNTED messages are counted.
    """
    if not Notification.objects.overdue(now).exists():
        return []
    sent = Q(state=NotificationState.SENT, sent_at__gt=now - length)
    overdue = Q(pk__in=Notification.objects.overdue(now).values("pk"))
    rows = Notification.objects.filter(sent | overdue, due_at__lte=now).order_by("-pk")
    spans = rows.values_list("due_at", "sent_at")[:MAX_COUNTED]
    return backlog_course(spans, now=now, length=length)
