"""Define silences and maintenance windows, during which matching alerts send no notifications."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from alerts.models.channel import validate_time_zone
from core.lib.reference_field import ReferenceField


class Recurrence(models.TextChoices):
    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"


class SilenceQuerySet(models.QuerySet["Silence"]):
    def current_or_recurring(self, now: datetime) -> "SilenceQuerySet":
        """Return the silences that may be active at `now`.

        The caller must check recurring silences with `active_until()`.
        """
        return self.filter(starts_at__lte=now).filter(
            Q(recurrence=Recurrence.ONCE, ends_at__gt=now)
            | (~Q(recurrence=Recurrence.ONCE) & (Q(until=None) | Q(until__gt=now)))
        )


class Silence(models.Model):
    """A period during which alerts that match all matchers send no notifications. Rules are still evaluated."""

    comment = models.CharField(max_length=300)
    reference = ReferenceField(source="comment")
    is_maintenance = models.BooleanField(
        default=False,
        help_text="The silence is planned maintenance, which is also shown on the status page.",
    )
    matchers = models.JSONField(
        default=dict,
        blank=True,
        help_text='All matchers must match. * stands for any text: {"rule": "errors.*", "severity": "warning", '
        '"alert_type": "…", "source": "…", "key": "…"}. {} matches every alert.',
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    recurrence = models.CharField(max_length=10, choices=Recurrence, default=Recurrence.ONCE)
    until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="A recurring silence does not start again after this time. Leave empty for no end.",
    )
    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_time_zone])
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SilenceQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="silences_end_after_they_start"
            )
        ]

    def __str__(self) -> str:
        return f"{self.comment} ({self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M})"

    def active_until(self, now: datetime) -> datetime | None:
        """Return the end of the occurrence that is active at `now`, or None if the silence is not active.

        A recurring silence starts at the same wall-clock time all year round and always has the same length.
        """
        length = self.ends_at - self.starts_at
        if self.recurrence == Recurrence.ONCE:
            return self.ends_at if self.starts_at <= now < self.ends_at else None
        zone = ZoneInfo(self.time_zone)
        first = self.starts_at.astimezone(zone)
        today = now.astimezone(zone).date()
        step = 7 if self.recurrence == Recurrence.WEEKLY else 1
        for days_back in range(length.days + 2):
            day = today - timedelta(days=days_back)
            if day < first.date() or (day - first.date()).days % step:
                continue
            # Calculate in UTC, because arithmetic on local times ignores changes of the UTC offset.
            start = first.replace(year=day.year, month=day.month, day=day.day, fold=0).astimezone(
                UTC
            )
            if self.until and start >= self.until:
                continue
            end = start + length
            if start <= now < end:
                return end
        return None
