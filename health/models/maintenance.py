"""Define maintenance windows."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from core.lib.reference_field import ReferenceField
from health.models.components import Component


class MaintenanceQuerySet(models.QuerySet["MaintenanceWindow"]):
    def running(self, now: datetime) -> "MaintenanceQuerySet":
        return self.filter(starts_at__lte=now, ends_at__gt=now)


class MaintenanceWindow(models.Model):
    """Planned work. Failures during it raise no alert, open no incident and do not count as downtime."""

    title = models.CharField(max_length=200)
    reference = ReferenceField(source="title")
    text = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    components = models.ManyToManyField(
        Component,
        blank=True,
        related_name="maintenance_windows",
        help_text="Leave empty for all components",
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
