"""Define heartbeats, which monitor jobs that must check in, and the runs of these jobs."""

import uuid
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.text import slugify

from core.clients.models import ClientApp
from health.models.components import Component


def validate_crontab(value: str) -> None:
    try:
        CronSim(value, datetime.now())  # noqa: DTZ005  the time is irrelevant for parsing
    except CronSimError as error:
        raise ValidationError("Enter five fields, such as 0 3 * * *.") from error


def validate_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError("Enter a time zone name, such as Europe/Berlin.")


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def enabled(self) -> "HeartbeatQuerySet":
        return self.filter(is_enabled=True)


class Heartbeat(Component):
    """A job that must check in regularly.

    Its status is down if the job reports an error, misses a check-in or runs too long.
    """

    app = models.ForeignKey(
        ClientApp,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="heartbeats",
        help_text="The app that this job belongs to. Leave empty for a job of the whole company.",
    )
    slug = models.SlugField(
        max_length=50, blank=True, help_text="Leave empty to derive the slug from the title."
    )
    environment = models.CharField(max_length=64, blank=True)
    crontab = models.CharField(
        max_length=100,
        blank=True,
        validators=[validate_crontab],
        help_text="For example 0 3 * * * for every day at 03:00.",
    )
    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_zone])
    interval_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Enter an interval instead of a crontab.",
    )
    margin_minutes = models.PositiveIntegerField(
        default=5,
        help_text="A check-in that is late by no more than this time does not count as missed.",
    )
    max_runtime_minutes = models.PositiveIntegerField(
        default=30, help_text="A run that takes longer than this counts as failed."
    )
    config_problem = models.CharField(max_length=300, blank=True, editable=False)
    ping_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    expected_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_check_in_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = HeartbeatQuerySet.as_manager()  # type: ignore[misc, assignment]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "slug", "environment"], name="one_heartbeat_per_job"
            ),
            # The constraint on three fields does not cover heartbeats without an app, because NULL values count as
            # different.
            models.UniqueConstraint(
                fields=["slug", "environment"],
                condition=models.Q(app=None),
                name="one_heartbeat_per_job_without_app",
                violation_error_message="Another heartbeat without an app has this slug and environment.",
            ),
        ]

    def clean(self) -> None:
        if bool(self.crontab) == bool(self.interval_minutes):
            raise ValidationError("Enter either a crontab or an interval.")
        self.slug = self.slug or slugify(self.title)[:50] or "job"

    @property
    def schedule(self) -> str:
        if self.crontab:
            return self.crontab
        return f"every {self.interval_minutes} min" if self.interval_minutes else "no schedule"

    @property
    def ping_path(self) -> str:
        return reverse("health:heartbeat-ping", args=[self.ping_key])

    @property
    def ping_url(self) -> str:
        return f"{settings.BASE_URL}{self.ping_path}"

    def expected_after(self, timestamp: datetime) -> datetime | None:
        """Return when the first check-in after `timestamp` is due, without the margin.

        Return None if the heartbeat has no schedule.
        """
        if self.crontab:
            return next(CronSim(self.crontab, timestamp.astimezone(ZoneInfo(self.time_zone))))
        return (
            timestamp + timedelta(minutes=self.interval_minutes) if self.interval_minutes else None
        )


class CheckInStatus(models.TextChoices):
    RUNNING = "in_progress", "Running"
    OK = "ok", "Succeeded"
    ERROR = "error", "Failed"
    MISSED = "missed", "Missed"
    TIMEOUT = "timeout", "Ran too long"


class CheckIn(models.Model):
    """A run that a job reported, or a run that it missed. Runs are deleted after 35 days."""

    heartbeat = models.ForeignKey(Heartbeat, models.CASCADE, related_name="check_ins")
    check_in_id = models.UUIDField(default=uuid.uuid4)
    status = models.CharField(max_length=12, choices=CheckInStatus)
    at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.FloatField(null=True, blank=True)
    output = models.TextField(
        blank=True, default="", db_default="", help_text="The output of the job."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["heartbeat", "check_in_id"], name="each_check_in_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["heartbeat", "-at"], name="check_ins_newest_first"),
            models.Index(fields=["at"], name="check_ins_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.heartbeat_id} {self.at:%Y-%m-%d %H:%M:%S} {self.status}"
