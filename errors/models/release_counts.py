"""Define the counts of events per release, which a task adds up once a minute to keep ingestion fast."""

from typing import ClassVar

from django.db import models

from core.releases.models import Release


class ReleaseCount(models.Model):
    """The number of events of a release in an environment."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="event_counts")
    environment = models.CharField(max_length=64, blank=True)
    event_count = models.PositiveBigIntegerField(default=0)
    first_event_at = models.DateTimeField()
    last_event_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["release", "environment"], name="one_event_count_per_environment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_count} events of {self.release_id} in {self.environment}"


class ReleaseErrorUser(models.Model):
    """A user who was affected by an error in a release."""

    pk = models.CompositePrimaryKey("release_id", "user_key")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+", db_index=False)
    user_key = models.CharField(max_length=128)

    def __str__(self) -> str:
        return self.user_key


class ReleaseCursor(models.Model):
    """The id of the last event that is included in the counts of releases. The table has one row."""

    event = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(pk=1), name="there_is_one_release_cursor")
        ]

    def __str__(self) -> str:
        return str(self.event)
