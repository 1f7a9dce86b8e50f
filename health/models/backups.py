"""Define backups and the results of their verification."""

from typing import ClassVar

from django.db import models


class BackupState(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class BackupQuerySet(models.QuerySet["Backup"]):
    def done(self) -> "BackupQuerySet":
        return self.filter(state=BackupState.DONE)

    def newest_first(self) -> "BackupQuerySet":
        return self.order_by("-started_at", "-pk")


class Backup(models.Model):
    """A backup file, with row counts to compare with those of a test restore."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=BackupState, default=BackupState.RUNNING)
    node = models.CharField(max_length=100, blank=True)
    file = models.CharField(max_length=500, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    row_counts = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    is_good = models.BooleanField(null=True, blank=True)
    finding = models.TextField(blank=True)

    objects = BackupQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["-started_at"], name="backups_newest_first")]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} ({self.state})"
