"""Define the outbox, with one row per message and channel, and one row per delivery attempt.

The delivery process polls the outbox, so a committed row is sent without further steps.
"""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, When

from alerts.channels.base import MessageKind
from alerts.models.alert import ACTIVE_STATES, SystemAlert
from alerts.models.channel import Channel

# The lease is longer than an attempt, which times out after 10 s (25 s with apprise), but short enough that another
# node soon continues the work of a failed node. A node that restarts releases its own leases immediately.
LEASE_DURATION = timedelta(minutes=2)
# A notification whose node failed during an attempt is sent again until it has had this many attempts.
MAX_INTERRUPTED_ATTEMPTS = 10


class NotificationState(models.TextChoices):
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    GROUPED = "grouped", "in the storm message"
    MERGED = "merged", "in the message about a related alert"


UNFINISHED_STATES = (NotificationState.WAITING, NotificationState.SENDING)


class NotificationQuerySet(models.QuerySet["Notification"]):
    def unfinished(self) -> "NotificationQuerySet":
        return self.filter(state__in=UNFINISHED_STATES)

    def failed(self) -> "NotificationQuerySet":
        return self.filter(state=NotificationState.FAILED)

    def due(self, now: datetime) -> "NotificationQuerySet":
        """Return the notifications that can be sent now: waiting ones that are due, and those with an expired lease.

        Only the first unfinished notification of each stream is returned, so that the order is kept.
        """
        return self.first_of_their_streams().filter(_is_available(now))

    def first_of_their_streams(self) -> "NotificationQuerySet":
        """Exclude notifications that follow an unfinished one in their stream.

        A notification that was merged into another one is unfinished until the other one is finished.
        """
        is_unfinished = Q(state__in=UNFINISHED_STATES) | Q(
            state=NotificationState.MERGED, merged_into__state__in=UNFINISHED_STATES
        )
        earlier = Notification.objects.filter(
            is_unfinished, stream=OuterRef("stream"), pk__lt=OuterRef("pk")
        )
        return self.exclude(Exists(earlier))

    def overdue(self, now: datetime) -> "NotificationQuerySet":
        """Return the notifications that are due but not delivered, including those that are being sent."""
        return self.filter(state__in=UNFINISHED_STATES, due_at__lte=now)

    def outdated(self, now: datetime) -> "NotificationQuerySet":
        """Return the notifications that are no longer worth sending.

        While an alert is active, messages that report it do not become outdated, except reminders. A resolution never
        becomes outdated, because services such as PagerDuty would otherwise keep the incident open.
        """
        is_current = Q(kind=MessageKind.RESOLVED) | Q(
            kind__in=LASTING_KINDS, alert__state__in=ACTIVE_STATES
        )
        return self.filter(deadline_at__lt=now).exclude(is_current)

    def held(self, now: datetime) -> "NotificationQuerySet":
        """Return the failed notifications that should be sent when their channel works again.

        Tests, outdated messages, and reports of alerts that are no longer active are left out.
        """
        is_over = Q(kind__in=FIRING_KINDS, alert__isnull=False) & ~Q(alert__state__in=ACTIVE_STATES)
        return (
            self.failed()
            .exclude(pk__in=self.outdated(now).values("pk"))
            .exclude(is_over)
            .exclude(kind=MessageKind.TEST)
        )

    def claim(self, pk: int, *, now: datetime, owner: str = "") -> uuid.UUID | None:
        """Lease a due notification, count the attempt, and return the token of the lease.

        Return None if the notification is not due or another node has claimed it.
        """
        lease = uuid.uuid4()
        # The outer condition repeats the one in the subquery, because PostgreSQL checks only the outer condition again
        # after waiting for another node's update.
        taken = (
            self.filter(pk__in=Notification.objects.due(now).filter(pk=pk).values("pk"))
            .filter(_is_available(now))
            .update(
                state=NotificationState.SENDING,
                lease=lease,
                lease_until=now + LEASE_DURATION,
                lease_owner=owner,
                attempt_count=F("attempt_count") + 1,
                attempts_allowed=_attempts_allowed_after_interruption(),
            )
        )
        return lease if taken else None

    def release(self, owner: str, *, now: datetime) -> list[int]:
        """Requeue the notifications that a failed node was sending, and return the ids of their channels."""
        interrupted = self.filter(state=NotificationState.SENDING, lease_owner=owner)
        channel_ids = list(interrupted.values_list("channel_id", flat=True).distinct())
        interrupted.update(
            attempts_allowed=_attempts_allowed_after_interruption(),
            state=NotificationState.WAITING,
            next_attempt_at=now,
            lease=None,
            lease_until=None,
            lease_owner="",
        )
        return channel_ids


def _is_available(now: datetime) -> Q:
    return Q(state=NotificationState.WAITING, next_attempt_at__lte=now) | Q(
        state=NotificationState.SENDING, lease_until__lt=now
    )


def _attempts_allowed_after_interruption() -> Case:
    """Return an expression for `attempts_allowed` that grants a new attempt for an interrupted one, up to a limit."""
    return Case(
        When(
            state=NotificationState.SENDING,
            attempts_allowed__lt=MAX_INTERRUPTED_ATTEMPTS,
            then=F("attempts_allowed") + 1,
        ),
        default=F("attempts_allowed"),
        output_field=models.PositiveSmallIntegerField(),
    )


class Notification(models.Model):
    """One message to one channel.

    `payload` does not change after the first attempt has started, so retries send the same content.
    """

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
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="members", editable=False
    )
    state = models.CharField(
        max_length=12, choices=NotificationState, default=NotificationState.WAITING
    )
    is_critical = models.BooleanField(
        default=False,
        help_text="The message is sent before other messages and regardless of storms and limits.",
    )
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(
        help_text="The message is not sent before this time, for example not before the end of quiet hours."
    )
    next_attempt_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    attempt_count = models.PositiveSmallIntegerField(default=0)
    attempts_allowed = models.PositiveSmallIntegerField(default=3)
    lease = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=64, blank=True, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    is_permanent_failure = models.BooleanField(default=False)
    provider_reference = models.CharField(max_length=200, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["channel", "-is_critical", "id"],
                condition=Q(state__in=["waiting", "sending"]),
                name="notifications_unfinished",
            ),
            models.Index(fields=["stream", "id"], name="notifications_by_stream"),
            models.Index(fields=["channel", "-created_at"], name="notifications_by_channel"),
            models.Index(fields=["-created_at"], name="notifications_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_id} ({self.state})"


# The recipients of these kinds of messages are also notified when the alert is resolved.
FIRING_KINDS = (
    MessageKind.TRIGGERED,
    MessageKind.REOPENED,
    MessageKind.RAISED,
    MessageKind.REMINDER,
    MessageKind.ESCALATED,
    MessageKind.PAGED,
    MessageKind.FLAPPING,
)
# Messages of these kinds do not become outdated while the alert is firing.
LASTING_KINDS = tuple(kind for kind in FIRING_KINDS if kind != MessageKind.REMINDER)


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
