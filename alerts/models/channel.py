"""Channels: where people are notified."""

from datetime import time
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.db import models


def validate_time_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError(f"{value!r} is not a time zone such as Europe/Berlin")


class QuietHours(models.Model):
    """Hours of the day, in a time zone, during which only critical alerts are delivered."""

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


class Channel(QuietHours):
    """A place where people are notified. `alerts.channels` implements each kind."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20)
    config = models.JSONField(default=dict, blank=True)
    uses_environment = models.BooleanField(
        default=False, help_text="Empty fields fall back to the portal's settings."
    )
    is_enabled = models.BooleanField(default=True)
    max_per_minute = models.PositiveIntegerField(
        default=30, help_text="Messages above this limit wait for the next minute."
    )
    gets_digests = models.BooleanField(
        default=True,
        help_text="Also send digests and the weekly report, if this kind of channel supports them.",
    )
    teams = models.ManyToManyField("alerts.Team", blank=True, related_name="channels")
    people = models.ManyToManyField("alerts.Person", blank=True, related_name="channels")

    disabled_reason = models.TextField(blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    last_revived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
