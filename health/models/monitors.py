"""What staff add: outside addresses to ask, and jobs that must check in. Each is a Component with its own questions."""

import re
import uuid
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from health.models.components import Component
from opsportal.clients.models import ClientApp

_STATUS_RANGES = re.compile(r"\d{3}(-\d{3})?(\s*,\s*\d{3}(-\d{3})?)*")


def validate_status_ranges(value: str) -> None:
    if not _STATUS_RANGES.fullmatch(value):
        raise ValidationError("e.g. 200-299 or 200,204,301")


def validate_headers(value: object) -> None:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) and "\n" not in k + v for k, v in value.items()
    ):
        raise ValidationError('an object of texts, e.g. {"Accept": "application/json"}')


def validate_crontab(value: str) -> None:
    try:
        CronSim(value, datetime.now())  # noqa: DTZ005  only parsed
    except CronSimError as error:
        raise ValidationError("five fields, e.g. 0 3 * * *") from error


def validate_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError("e.g. Europe/Berlin")


class MonitorQuerySet(models.QuerySet["Monitor"]):
    def due(self, now: datetime) -> "MonitorQuerySet":
        # A little early is on time: the minute's tick is never exact.
        soon = now + timedelta(seconds=5)
        return self.filter(is_enabled=True).filter(Q(next_run_at=None) | Q(next_run_at__lte=soon))


class Monitor(Component):
    """An address that is asked regularly: `https://…`, `http://…` or `tcp://host:port`."""

    METHODS: ClassVar = [(m, m) for m in ("GET", "HEAD", "POST", "PUT", "OPTIONS")]

    url = models.CharField(
        "address", max_length=500, help_text="https://…, http://… or tcp://host:port"
    )
    method = models.CharField(max_length=10, choices=METHODS, default="GET")
    headers = models.JSONField(default=dict, blank=True, validators=[validate_headers])
    body = models.TextField(blank=True)
    expected_status = models.CharField(
        max_length=100, default="200-299", validators=[validate_status_ranges]
    )
    contains = models.CharField(
        "body contains", max_length=200, blank=True, help_text="Empty: not looked at"
    )
    json_path = models.CharField(
        max_length=200, blank=True, help_text="e.g. status.indicator or checks[0].state"
    )
    json_value = models.CharField(max_length=200, blank=True, help_text="What stands there")
    latency_limit_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="Slower than this is degraded. Empty: no limit"
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(15)]
    )
    interval_minutes = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(1440)]
    )
    app = models.ForeignKey(
        ClientApp,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="monitors",
        help_text="Whose function this is, if it is one's",
    )
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    certificate_until = models.DateTimeField(null=True, blank=True, editable=False)
    certificate_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = MonitorQuerySet.as_manager()  # type: ignore[misc, assignment]

    def clean(self) -> None:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValidationError({"url": "the port is not a number"}) from error
        if parts.scheme not in ("http", "https", "tcp") or not parts.hostname:
            raise ValidationError({"url": "https://…, http://… or tcp://host:port"})
        if parts.scheme == "tcp" and not port:
            raise ValidationError({"url": "tcp:// needs a port, e.g. tcp://db.example.com:5432"})
        if parts.username or parts.password:
            raise ValidationError({"url": "put credentials into a header, not into the address"})

    @property
    def is_tcp(self) -> bool:
        return self.url.startswith("tcp://")

    def accepts(self, status: int) -> bool:
        for part in self.expected_status.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def enabled(self) -> "HeartbeatQuerySet":
        return self.filter(is_enabled=True)


class Heartbeat(Component):
    """A job that checks in. It is down when it reports an error, stays away, or runs too long."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="heartbeats")
    slug = models.SlugField(max_length=50)
    environment = models.CharField(max_length=64, blank=True)
    crontab = models.CharField(
        max_length=100, blank=True, validators=[validate_crontab], help_text="e.g. 0 3 * * *"
    )
    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_zone])
    interval_minutes = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Instead of a crontab"
    )
    margin_minutes = models.PositiveIntegerField(default=5, help_text="So late is still on time")
    max_runtime_minutes = models.PositiveIntegerField(
        default=30, help_text="A started run must end within"
    )
    ping_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    expected_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_check_in_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = HeartbeatQuerySet.as_manager()  # type: ignore[misc, assignment]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "slug", "environment"], name="one_heartbeat_per_job"
            )
        ]

    def clean(self) -> None:
        if bool(self.crontab) == bool(self.interval_minutes):
            raise ValidationError("give either a crontab or an interval")

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

    def expected_after(self, moment: datetime) -> datetime | None:
        """When the next check-in after `moment` is due, without the margin; None without a schedule."""
        if self.crontab:
            return next(CronSim(self.crontab, moment.astimezone(ZoneInfo(self.time_zone))))
        return moment + timedelta(minutes=self.interval_minutes) if self.interval_minutes else None


class CheckInStatus(models.TextChoices):
    RUNNING = "in_progress", "Running"
    OK = "ok", "Succeeded"
    ERROR = "error", "Failed"
    MISSED = "missed", "Missed"
    TIMEOUT = "timeout", "Ran too long"


class CheckIn(models.Model):
    """One run of a job, as it told us, or as we missed it. Kept 35 days."""

    heartbeat = models.ForeignKey(Heartbeat, models.CASCADE, related_name="check_ins")
    check_in_id = models.UUIDField(default=uuid.uuid4)
    status = models.CharField(max_length=12, choices=CheckInStatus)
    at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.FloatField(null=True, blank=True)

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


class MaintenanceQuerySet(models.QuerySet["MaintenanceWindow"]):
    def running(self, now: datetime) -> "MaintenanceQuerySet":
        return self.filter(starts_at__lte=now, ends_at__gt=now)


class MaintenanceWindow(models.Model):
    """Work that was announced: failures in it raise no alert, open no incident and count as nobody's downtime."""

    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    components = models.ManyToManyField(
        Component, blank=True, related_name="maintenance_windows", help_text="None: everything"
    )
    is_public = models.BooleanField("on the status page", default=True)

    objects = MaintenanceQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="maintenance_ends_after_it_starts"
            )
        ]

    def __str__(self) -> str:
        return self.title
