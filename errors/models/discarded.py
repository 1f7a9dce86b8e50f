from typing import ClassVar

from django.db import models

from core.clients.models import ClientApp


class Discarded(models.Model):
    """The number of items that were not stored, per app, day and reason (unsupported, over quota, filtered …)."""

    class Source(models.TextChoices):
        PORTAL = "portal", "Not supported by the portal"
        QUOTA = "quota", "Over quota"
        INVALID = "invalid", "Unreadable"
        CLIENT = "client", "Dropped by the SDK"
        FILTER = "filter", "Dropped by an inbound filter"

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    date = models.DateField()
    source = models.CharField(max_length=8, choices=Source)
    category = models.CharField(max_length=64)
    reason = models.CharField(max_length=64, blank=True)
    count = models.PositiveBigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "discarded items"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "date", "source", "category", "reason"], name="one_sum_per_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.category} on {self.date}"
