from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from core.lib import lease_owner
from payments.models.intents import Payment

THIN_EVENT = "v2.core.event"  # See https://docs.stripe.com/event-destinations#thin-events.


class WebhookEventQuerySet(models.QuerySet["WebhookEvent"]):
    def waiting(self) -> "WebhookEventQuerySet":
        return self.filter(state=WebhookEvent.State.PENDING)

    def dead(self) -> "WebhookEventQuerySet":
        return self.filter(state=WebhookEvent.State.DEAD)

    def settled(self) -> "WebhookEventQuerySet":
        """Return the events that need no further work."""
        return self.filter(state__in=[WebhookEvent.State.PROCESSED, WebhookEvent.State.IGNORED])

    def due(self, now: datetime) -> "WebhookEventQuerySet":
        """Return the pending events whose next attempt is due and which no worker has leased."""
        return (
            self.waiting()
            .filter(next_try_at__lte=now)
            .filter(Q(locked_until=None) | Q(locked_until__lte=now))
        )

    def release_dead_leases(self, now: datetime) -> int:
        """End the leases of killed processes of this machine, and return the number of ended leases."""
        live = self.waiting().filter(locked_until__gt=now).values_list("pk", "owner")
        dead = [(pk, owner) for pk, owner in live if lease_owner.is_dead(owner)]
        return sum(
            self.waiting().filter(pk=pk, owner=owner).update(locked_until=now) for pk, owner in dead
        )

    def claim(self, pk: int, *, owner: str, now: datetime, until: datetime) -> bool:
        """Lease the event until `until`. Return False if the event is not due or another worker has leased it.

        The attempt is counted before it begins, so that an attempt that kills its worker is counted too.
        """
        return bool(
            self.due(now)
            .filter(pk=pk)
            .update(owner=owner, locked_until=until, tries=F("tries") + 1)
        )


class WebhookEvent(models.Model):
    """A Stripe event, stored before it is processed."""

    class State(models.TextChoices):
        PENDING = "pending"
        PROCESSED = "processed"
        IGNORED = "ignored"
        DEAD = "dead", "Failed (needs attention)"

    event_id = models.CharField(max_length=100, unique=True)
    endpoint = models.CharField(max_length=50, blank=True)
    type = models.CharField(max_length=100)
    livemode = models.BooleanField()
    object_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(help_text="Time when Stripe created the event.")
    received_at = models.DateTimeField()
    payload = models.JSONField(
        help_text="Client secrets and personal data are removed before the event is saved."
    )
    request_id = models.CharField(max_length=128, blank=True)

    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    deliveries = models.PositiveIntegerField(default=1)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    owner = models.CharField(max_length=lease_owner.MAX_LENGTH, blank=True)
    locked_until = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=300, blank=True)
    payment = models.ForeignKey(
        Payment, models.SET_NULL, null=True, blank=True, related_name="events"
    )

    objects = WebhookEventQuerySet.as_manager()

    class Meta:
        db_table = "webhook_events_log"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="processed") | Q(processed_at__isnull=False),
                name="a_processed_event_says_when",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_try_at"], condition=Q(state="pending"), name="events_waiting"
            ),
            models.Index(fields=["-received_at"], name="events_newest_first"),
            models.Index(fields=["state", "-received_at"], name="events_by_state"),
            models.Index(fields=["object_id"], name="events_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"

    @property
    def is_thin(self) -> bool:
        """Return True if the event contains only the id of its object, which must be fetched from Stripe."""
        return bool(self.payload.get("object") == THIN_EVENT)


class RefusedDelivery(models.Model):
    """The number of webhook calls that were rejected in an hour for one reason, with a sample of the latest call."""

    hour = models.DateTimeField()
    reason = models.CharField(max_length=50)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    sample = models.CharField(
        max_length=200, blank=True, help_text="Network and user agent of the most recent call."
    )

    class Meta:
        verbose_name = "rejected delivery"
        verbose_name_plural = "rejected deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hour", "reason"], name="one_row_per_hour_and_reason")
        ]

    def __str__(self) -> str:
        return f"{self.count} x {self.reason}"
