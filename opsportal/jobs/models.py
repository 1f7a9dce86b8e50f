"""Scheduled jobs: when each is due, who runs it now, and how the last runs went. The rows are the truth."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q


class Outcome(models.TextChoices):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost", "Lost (its worker died)"


class JobQuerySet(models.QuerySet["Job"]):
    def due(self, now: datetime) -> "JobQuerySet":
        """Whose time has come and nobody holds; or whose holder's lease ran out before it finished."""
        return self.filter(is_enabled=True).filter(
            Q(owner="", next_run_at__lte=now) | (~Q(owner="") & Q(lease_until__lt=now))
        )


class Job(models.Model):
    """One scheduled task. `owner` and `lease_until` keep two workers from running it at once."""

    name = models.CharField(max_length=200, unique=True, help_text="Dotted path of the task")
    summary = models.CharField(max_length=300, blank=True)
    cron = models.CharField(max_length=100)
    is_enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField()
    owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_started_at = models.DateTimeField(null=True, blank=True)
    last_finished_at = models.DateTimeField(null=True, blank=True)
    last_outcome = models.CharField(max_length=10, choices=Outcome, blank=True)

    objects = JobQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """One run of a job, kept for its history."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="runs")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RUNNING)
    result = models.TextField(blank=True)
    node = models.CharField(max_length=100, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["job", "-started_at"], name="job_runs_newest_first")
        ]

    def __str__(self) -> str:
        return f"{self.job_id} at {self.started_at:%Y-%m-%d %H:%M:%S}"


class Node(models.Model):
    """A machine's worker cluster, as it last reported."""

    name = models.CharField(max_length=100, unique=True)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=20)
    last_tick_at = models.DateTimeField()
    last_progress_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
