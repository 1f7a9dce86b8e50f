"""Define alerts.

An alert covers a problem from its first breach to its resolution. `AlertEvent` rows form the timeline of the alert.
"""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Case, IntegerField, Q, Value, When
from django.urls import reverse

from alerts.extension_points import Severity
from alerts.models.rule import AlertRule
from core.clients.models import ClientApp


class AlertState(models.TextChoices):
    PENDING = "pending"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


ACTIVE_STATES = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
UNRESOLVED_STATES = (*ACTIVE_STATES, AlertState.PENDING, AlertState.DISMISSED)
STATE_RANK = Case(
    When(state=AlertState.OPEN, then=Value(0)),
    When(state=AlertState.ACKNOWLEDGED, then=Value(1)),
    When(state=AlertState.DISMISSED, then=Value(2)),
    default=Value(3),
    output_field=IntegerField(),
)
SEVERITY_RANK = Case(
    *(When(severity=severity, then=Value(severity.rank)) for severity in Severity),
    default=Value(0),
    output_field=IntegerField(),
)


class SystemAlertQuerySet(models.QuerySet["SystemAlert"]):
    def active(self) -> "SystemAlertQuerySet":
        """Return the alerts that are open or acknowledged."""
        return self.filter(state__in=ACTIVE_STATES)

    def visible(self) -> "SystemAlertQuerySet":
        """Return all alerts except pending alerts, whose rules have not been breached often enough yet."""
        return self.exclude(state=AlertState.PENDING)

    def unresolved(self) -> "SystemAlertQuerySet":
        """Return the unresolved alerts. At most one unresolved alert exists per key."""
        return self.filter(state__in=UNRESOLVED_STATES)

    def unread(self) -> "SystemAlertQuerySet":
        return self.active().filter(read_at=None)

    def critical(self) -> "SystemAlertQuerySet":
        return self.filter(severity=Severity.CRITICAL)

    def overdue(self, now: datetime) -> "SystemAlertQuerySet":
        """Return open alerts that staff did not acknowledge within the response time."""
        return self.filter(state=AlertState.OPEN, respond_by__lt=now)

    def unanswered(self) -> "SystemAlertQuerySet":
        return self.filter(state=AlertState.OPEN, is_unanswered=True)

    def worst_first(self) -> "SystemAlertQuerySet":
        """Order the alerts by state (open, acknowledged, dismissed, others), then by severity, then newest first."""
        return self.order_by(STATE_RANK, SEVERITY_RANK.desc(), "-opened_at", "-pk")


class SystemAlert(models.Model):
    """A problem that people need to know about. Only `alerts.services` and `manage.py alerts_test` change the rows."""

    # The following fields describe the problem.
    key = models.CharField(
        max_length=200, help_text="The key identifies the problem by its rule and labels."
    )
    alert_type = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    message = models.TextField(blank=True)
    severity = models.CharField(max_length=10, choices=Severity)
    labels = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    references = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=100, blank=True)
    app = models.ForeignKey(
        ClientApp,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The app that the problem concerns, if it concerns exactly one app.",
    )
    rule = models.ForeignKey(
        AlertRule, models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    value = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(null=True, blank=True)
    unit = models.CharField(max_length=30, blank=True)

    # The following fields contain the state of the alert.
    state = models.CharField(max_length=12, choices=AlertState, default=AlertState.OPEN)
    version = models.PositiveIntegerField(default=1, editable=False)
    episode = models.PositiveIntegerField(default=1, editable=False)
    reopen_count = models.PositiveIntegerField(default=0, editable=False)
    occurrence_count = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    recent = models.CharField(max_length=100, blank=True, editable=False)
    evaluated_at = models.DateTimeField(null=True, blank=True, editable=False)
    clear_since = models.DateTimeField(null=True, blank=True, editable=False)
    is_flapping = models.BooleanField(default=False)

    # The following fields record the actions of staff on the alert.
    read_at = models.DateTimeField(null=True, blank=True)
    read_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    dismissed_until = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    # The following fields record notifications.
    is_announced = models.BooleanField(default=False)
    notice_count = models.PositiveIntegerField(default=0, editable=False)
    last_notified_at = models.DateTimeField(null=True, blank=True)
    respond_by = models.DateTimeField(null=True, blank=True)
    escalation_count = models.PositiveSmallIntegerField(default=0)
    escalate_at = models.DateTimeField(null=True, blank=True)
    is_unanswered = models.BooleanField(default=False)

    objects = SystemAlertQuerySet.as_manager()

    class Meta:
        verbose_name = "alert"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=["pending", "open", "acknowledged", "dismissed"]),
                name="one_open_alert_per_problem",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "-opened_at"], name="alerts_by_state"),
            models.Index(fields=["key", "-resolved_at"], name="alerts_by_key"),
            models.Index(fields=["-opened_at"], name="alerts_newest_first"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("alerts:alert-page", args=[self.pk])

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE_STATES

    def is_overdue(self, now: datetime) -> bool:
        return (
            self.state == AlertState.OPEN and self.respond_by is not None and self.respond_by < now
        )

    def duration(self, now: datetime) -> timedelta:
        """Return the time from the opening to the resolution, or to `now` if the alert is not resolved."""
        return (self.resolved_at or now) - self.opened_at


class AlertEvent(models.Model):
    """One entry in the timeline of an alert."""

    class Kind(models.TextChoices):
        OPENED = "opened"
        REOPENED = "reopened"
        RAISED = "raised", "severity raised"
        ACKNOWLEDGED = "acknowledged"
        UNACKNOWLEDGED = "unacknowledged", "acknowledgment removed"
        DISMISSED = "dismissed"
        RETURNED = "returned", "dismissal ended"
        READ = "read"
        RESOLVED = "resolved"
        ANNOUNCED = "announced"
        HELD_BACK = "held_back", "held back"
        ESCALATED = "escalated"
        UNANSWERED = "unanswered"
        REMINDED = "reminded"
        FLAPPING = "flapping"
        UNDELIVERED = "undelivered", "not delivered"
        COMMENT = "comment"
        UNDONE = "undone"

    alert = models.ForeignKey(SystemAlert, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=Kind)
    text = models.TextField(blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Staff can undo an action. All entries of one action have the same `batch`, and `previous` contains the old values.
    batch = models.UUIDField(null=True, blank=True, editable=False)
    previous = models.JSONField(null=True, blank=True, editable=False, encoder=DjangoJSONEncoder)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["alert", "at"], name="timeline_in_order"),
            models.Index(
                fields=["batch"], condition=Q(batch__isnull=False), name="timeline_by_batch"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"
