"""Define the counts of a release's sessions by outcome, and the users of a release."""

from typing import ClassVar

from django.db import models

from core.releases.models.releases import Release


class ReleaseSessions(models.Model):
    """The number of sessions that apps sent for a release, per environment, hour and outcome."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="session_counts")
    environment = models.CharField(max_length=64, blank=True)
    hour = models.PositiveIntegerField()  # Hours since 1970 (UTC).
    started = models.PositiveIntegerField(default=0)
    errored = models.PositiveIntegerField(default=0)  # Sessions with handled errors.
    crashed = models.PositiveIntegerField(default=0)
    abnormal = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["release", "environment", "hour"], name="one_session_count_per_hour"
            )
        ]

    def __str__(self) -> str:
        return f"{self.started} sessions in hour {self.hour}"


class ReleaseUser(models.Model):
    """A user who had a session of a release. `user_key` is a keyed hash that does not reveal the user."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="users")
    user_key = models.CharField(max_length=32)
    # 1 if a session of the user crashed, else 0.
    crashed = models.PositiveSmallIntegerField(default=0)
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["release", "user_key"], name="one_user_per_release")
        ]

    def __str__(self) -> str:
        return self.user_key
