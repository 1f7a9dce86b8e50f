"""Define channels, which are the ways to notify people."""

from datetime import time
from typing import ClassVar
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, Q

from alerts.models.rule import AlertType, EscalationStep
from core.lib.sealed_fields import SealedJSONField


def validate_time_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError(
            f"{value!r} is not a valid time zone; use a name such as Europe/Berlin"
        )


class QuietHours(models.Model):
    """A span of hours in a time zone, during which only critical alerts are delivered."""

    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_time_zone])
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def quiet_hours(self) -> tuple[time, time, ZoneInfo] | None:
        if self.quiet_from is None or self.quiet_until is None:
            return None
        return self.quiet_from, self.quiet_until, ZoneInfo(self.time_zone)


class ChannelQuerySet(models.QuerySet["Channel"]):
    def enabled(self) -> "ChannelQuerySet":
        return self.filter(is_enabled=True)

    def receiving(self) -> "ChannelQuerySet":
        """Return the channels whose messages are kept: enabled channels, and channels that the provider rejected.

        The messages of a rejected channel wait until staff have fixed the channel.
        """
        return self.filter(Q(is_enabled=True) | ~Q(disabled_reason=""))

    def routed(self) -> "ChannelQuerySet":
        """Return the channels that at least one alert type or escalation step is routed to."""
        return self.filter(
            Q(gets_every_type=True)
            | Exists(AlertType.channels.through.objects.filter(channel=OuterRef("pk")))
            | Exists(EscalationStep.channels.through.objects.filter(channel=OuterRef("pk")))
        )


class Channel(QuietHours):
    """A way to reach people, such as a Slack channel. `alerts.channels` implements each kind."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20)
    config = SealedJSONField(default=dict, blank=True)
    uses_environment = models.BooleanField(
        default=False, help_text="The portal's settings apply to empty fields."
    )
    is_enabled = models.BooleanField(default=True)
    max_per_minute = models.PositiveIntegerField(
        default=30,
        help_text="Messages that exceed this limit wait for the next minute, except critical alerts. "
        "Enter 0 to pause the channel.",
    )
    gets_every_type = models.BooleanField(
        default=False,
        help_text="Send alerts of every type here, including types that are added later.",
    )
    gets_digests = models.BooleanField(
        default=True,
        help_text="Also send digests and the weekly report, if this kind of channel supports them.",
    )
    groups_alerts = models.BooleanField(
        "groups related alerts",
        default=True,
        db_default=True,
        help_text="Send alerts about the same host, app or component as one message. Alerts "
        "that are not critical wait up to 30 s to be combined.",
    )
    teams = models.ManyToManyField("alerts.Team", blank=True, related_name="channels")
    people = models.ManyToManyField("alerts.Person", blank=True, related_name="channels")

    disabled_reason = models.TextField(blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    # All nodes share this circuit breaker. From `retry_at` on, one node probes the channel with a single message.
    failure_count = models.PositiveIntegerField(default=0, editable=False)
    retry_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ChannelTest(models.Model):
    """A test message through one channel, requested by a staff member.

    The test of a channel uses the saved settings or the settings in the form. The test of an alert type or a person has
    one row for each channel that the alert type or the person uses.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        DELIVERED = "delivered"
        REFUSED = "refused"

    channel = models.ForeignKey(
        Channel, models.CASCADE, null=True, blank=True, related_name="tests"
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20)
    # Only those settings in the form that differ from the saved ones. They are deleted after the test, because they may
    # contain secrets.
    config = SealedJSONField(default=dict, blank=True)
    uses_environment = models.BooleanField(default=False)
    recipients = models.JSONField(default=list)
    # Identifies the tested alert type or person, such as "person-3". Empty for the test of a channel.
    subject = models.CharField(max_length=40, blank=True, default="", db_default="")
    title = models.CharField(max_length=200, blank=True, default="", db_default="")
    text = models.TextField(blank=True, default="", db_default="")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    answer = models.TextField(blank=True)
    created_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        indexes: ClassVar = [models.Index(fields=["created_at"], name="channel_tests_by_age")]

    def __str__(self) -> str:
        return f"test of {self.name} ({self.state})"

    @property
    def is_done(self) -> bool:
        return self.state in (self.State.DELIVERED, self.State.REFUSED)
