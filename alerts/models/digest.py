"""Record the progress of digests, so that each period is covered exactly once and items are not repeated too soon."""

from datetime import datetime

from django.db import models


class DigestRunQuerySet(models.QuerySet["DigestRun"]):
    def claim(self, name: str, *, first: datetime, until: datetime) -> datetime | None:
        """Claim the period up to `until` and return its start, or None if the period is already covered.

        This method must be called in the transaction that writes the digest, so that a crash leaves the period
        unclaimed.
        """
        run, _ = self.get_or_create(name=name, defaults={"covered_until": first})
        claimed = self.filter(pk=run.pk, covered_until=run.covered_until, covered_until__lt=until)
        return run.covered_until if claimed.update(covered_until=until) else None


class DigestRun(models.Model):
    """The progress of a digest, which is the end of the last period that it covered."""

    name = models.CharField(max_length=50, unique=True)
    covered_until = models.DateTimeField()

    objects = DigestRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} until {self.covered_until:%Y-%m-%d %H:%M}"


class DigestMention(models.Model):
    """The time when an item was last listed in a digest.

    An item is listed at most once a day, unless it has regressed since its last mention.
    """

    key = models.CharField(max_length=200, unique=True)
    mentioned_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
