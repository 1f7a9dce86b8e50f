"""Define scheduled jobs, their runs, and the nodes that run them."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.lib import schedules

# A node that has not reported for this long is considered stopped.
NODE_TIMEOUT = timedelta(seconds=150)


class Outcome(models.TextChoices):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost", "Lost (its worker died)"


class JobQuerySet(models.QuerySet["Job"]):
    def due(self, now: datetime) -> "JobQuerySet":
        """Return enabled jobs that are due and unclaimed, or whose worker's lease expired during a run."""
        return self.filter(is_enabled=True).filter(
            Q(owner="", next_run_at__lte=now) | (~Q(owner="") & Q(lease_until__lt=now))
        )

    def run_now(self, *, now: datetime) -> int:
        """Make enabled jobs due now. Return the number of jobs."""
        return self.filter(is_enabled=True).update(next_run_at=now, nudged_at=None)


# The result of a task whose feature is not configured.
OFF = "off"


class Job(models.Model):
    """A scheduled task. `owner` and `lease_until` prevent two workers from running it at once."""

    name = models.CharField(max_length=200, unique=True, help_text="Dotted path of the task")
    summary = models.CharField(max_length=300, blank=True)
    cron = models.CharField(
        "schedule", max_length=100, help_text="Crontab expression in the portal's time zone"
    )
    is_enabled = models.BooleanField("enabled", default=True)
    next_run_at = models.DateTimeField("next run")
    nudged_at = models.DateTimeField(null=True, blank=True)
    owner = models.CharField(
        max_length=64, blank=True, help_text="Claim of the worker that runs the job"
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    last_started_at = models.DateTimeField("last started", null=True, blank=True)
    last_finished_at = models.DateTimeField("last finished", null=True, blank=True)
    last_outcome = models.CharField(max_length=10, choices=Outcome, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = "scheduled job"
        permissions = [("run_job", "Can run a scheduled job now")]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """Return the job's name for pages. A job that this node's code lacks is named by its summary or path."""
        known = schedules.registry.get(self.name) if self.name in schedules.registry else None
        return (known.title if known else self.summary.rstrip(".")) or self.name

    @property
    def schedule(self) -> str:
        return schedules.in_words(self.cron)


class JobRun(models.Model):
    """A past or current run of a job."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="runs")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RUNNING)
    result = models.TextField(blank=True)
    node = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name = "job run"
        indexes: ClassVar = [
            models.Index(fields=["job", "-started_at"], name="job_runs_newest_first"),
            models.Index(fields=["started_at"], name="job_runs_oldest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} at {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def duration(self) -> timedelta | None:
        return self.finished_at - self.started_at if self.finished_at else None


class Node(models.Model):
    """The latest report of a node's worker cluster."""

    name = models.CharField(max_length=100, unique=True)
    pid = models.PositiveIntegerField(default=0)
    version = models.CharField(max_length=20)
    started_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(help_text="Time of the last report by any process of the node")
    last_tick_at = models.DateTimeField(null=True, blank=True)
    last_progress_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
