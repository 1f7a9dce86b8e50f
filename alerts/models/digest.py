"""What digests have covered and mentioned, so that none is doubled, skipped, or repeats itself."""

from datetime import datetime

from django.db import models


class DigestRunQuerySet(models.QuerySet["DigestRun"]):
    def claim(self, name: str, *, first: datetime, until: datetime) -> datetime | None:
        """The start of the time to cover, which is where the last one ended; None when it is covered already.

        Runs inside the transaction that writes the digest, so that a crash covers nothing.
        """
        run, _ = self.get_or_create(name=name, defaults={"covered_until": first})
        claimed = self.filter(pk=run.pk, covered_until=run.covered_until, covered_until__lt=until)
        return run.covered_until if claimed.update(covered_until=until) else None


class DigestRun(models.Model):
    """How far one digest has come."""

    name = models.CharField(max_length=50, unique=True)
    covered_until = models.DateTimeField()

    objects = DigestRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} until {self.covered_until:%Y-%m-%d %H:%M}"


class DigestMention(models.Model):
    """When something was last in a digest: once a day is enough, unless it came back after it was resolved."""

    key = models.CharField(max_length=200, unique=True)
    mentioned_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
