"""The outbox: one row per message and channel, and one per delivery attempt.

The rows are authoritative; a job in the task queue only makes delivery start earlier.
"""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from alerts.channels.base import MessageKind
from alerts.models.alert import SystemAlert
from alerts.models.channel import Channel

# Longer than an attempt can take (10 s, the HTTP timeout), and short enough to take over soon from a dead worker.
LEASE_DURATION = timedelta(minutes=2)


class NotificationState(models.TextChoices):
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPERSEDED = "superseded"


UNFINISHED_STATES = (NotificationState.WAITING, NotificationState.SENDING)


class NotificationQuerySet(models.QuerySet["Notification"]):
    def unfinished(self) -> "NotificationQuerySet":
        return self.filter(state__in=UNFINISHED_STATES)

    def failed(self) -> "NotificationQuerySet":
        return self.filter(state=NotificationState.FAILED)

    def due(self, now: datetime) -> "NotificationQuerySet":
        """Return notifications that are due or whose worker died, and only the first of each stream, to keep the order."""
        earlier = Notification.objects.filter(
            stream=OuterRef("stream"), pk__lt=OuterRef("pk"), state__in=UNFINISHED_STATES
        )
        return self.filter(
            Q(state=NotificationState.WAITING, next_attempt_at__lte=now)
            | Q(state=NotificationState.SENDING, lease_until__lt=now)
        ).exclude(Exists(earlier))

    def claim(self, pk: int, *, now: datetime) -> uuid.UUID | None:
        """Lease a due notification, count the attempt and return the token, or None if it is not available."""
        lease = uuid.uuid4()
        # The state is checked twice. The subquery respects the order within the stream; the outer condition is the
        # one that PostgreSQL checks again after it waited for another worker's update.
        taken = (
            self.filter(pk__in=Notification.objects.due(now).filter(pk=pk).values("pk"))
            .filter(
                Q(state=NotificationState.WAITING)
                | Q(state=NotificationState.SENDING, lease_until__lt=now)
            )
            .update(
                state=NotificationState.SENDING,
                lease=lease,
                lease_until=now + LEASE_DURATION,
                attempt_count=F("attempt_count") + 1,
            )
        )
        return lease if taken else None


class Notification(models.Model):
    """One message to one channel. `payload` is fixed on creation, so a late delivery reports the state of that time."""

    alert = models.ForeignKey(
        SystemAlert, models.CASCADE, null=True, blank=True, related_name="notifications"
    )
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=15, choices=MessageKind)
    idempotency_key = models.CharField(max_length=200, unique=True)
    stream = models.CharField(
        max_length=100, help_text="Messages of one stream are sent in the order of their creation."
    )
    payload = models.JSONField()
    state = models.CharField(
        max_length=12, choices=NotificationState, default=NotificationState.WAITING
    )
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    attempt_count = models.PositiveSmallIntegerField(default=0)
    attempts_allowed = models.PositiveSmallIntegerField(default=3)
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    is_permanent_failure = models.BooleanField(default=False)
    provider_reference = models.CharField(max_length=200, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=["waiting", "sending"]),
                name="notifications_due",
            ),
            models.Index(fields=["stream", "id"], name="notifications_by_stream"),
            models.Index(fields=["channel", "-created_at"], name="notifications_by_channel"),
            models.Index(fields=["-created_at"], name="notifications_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_id} ({self.state})"


class DeliveryAttempt(models.Model):
    """One attempt to send a notification, with the answer of the provider."""

    notification = models.ForeignKey(Notification, models.CASCADE, related_name="attempts")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(default=0)
    is_success = models.BooleanField(default=False)
    answer = models.TextField(blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["notification", "number"], name="attempts_in_order"),
            models.Index(fields=["channel", "-started_at"], name="attempts_by_channel"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.answer[:60]}"
