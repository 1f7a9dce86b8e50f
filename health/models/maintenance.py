"""Define maintenance windows, and the notices about them to subscribers of the status page."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from core.lib.reference_field import ReferenceField
from health.models.components import Component


class MaintenancePhase(models.TextChoices):
    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress", "in progress"
    COMPLETED = "completed"
    CANCELED = "canceled"


class MaintenanceQuerySet(models.QuerySet["MaintenanceWindow"]):
    def running(self, now: datetime) -> "MaintenanceQuerySet":
        return self.filter(starts_at__lte=now, ends_at__gt=now)


class MaintenanceWindow(models.Model):
    """A period of planned work, in which failures raise no alert, open no incident and do not count as downtime."""

    title = models.CharField(max_length=200)
    reference = ReferenceField(source="title")
    text = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    components = models.ManyToManyField(
        Component,
        blank=True,
        related_name="maintenance_windows",
        help_text="Leave empty for all components.",
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

    def phase(self, now: datetime) -> MaintenancePhase:
        if now < self.starts_at:
            return MaintenancePhase.SCHEDULED
        is_over = now >= self.ends_at
        return MaintenancePhase.COMPLETED if is_over else MaintenancePhase.IN_PROGRESS


class MaintenanceNotice(models.Model):
    """A notice to subscribers about a public maintenance window, with the window's content at that time.

    A notice remains when its window is deleted, so that subscribers can still be notified of the end.
    """

    # Stores the id of a window that may have been deleted.
    window_number = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    phase = models.CharField(max_length=15, choices=MaintenancePhase)
    is_new_time = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The notice reports a new time of the window; the phase has not changed.",
    )
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    # Lists the titles of the public components.
    components = models.JSONField(default=list, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["window_number", "id"], name="maintenance_notices_in_order"),
            models.Index(fields=["at"], name="maintenance_notices_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.title}: {self.phase}"

    @property
    def heading(self) -> str:
        """Return the heading of the notice, such as "Maintenance in progress" or "New time of the maintenance"."""
        if self.is_new_time:
            return "New time of the maintenance"
        return f"Maintenance {self.get_phase_display().lower()}"
