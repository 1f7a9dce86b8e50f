"""Define incidents, which the portal or staff open, with their updates and post-mortems."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from core.lib.reference_field import ReferenceField
from health.models.components import Component


class IncidentState(models.TextChoices):
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        return self.exclude(state=IncidentState.RESOLVED)

    def public(self) -> "IncidentQuerySet":
        return self.filter(is_public=True)

    def newest_first(self) -> "IncidentQuerySet":
        return self.order_by("-started_at", "-pk")


class Incident(models.Model):
    """An outage from its start to its end.

    The portal opens at most one incident at a time for a component.
    """

    title = models.CharField(max_length=200)
    reference = ReferenceField(source="title")
    component = models.ForeignKey(
        Component, models.SET_NULL, null=True, blank=True, related_name="incidents"
    )
    state = models.CharField(
        max_length=15, choices=IncidentState, default=IncidentState.INVESTIGATING
    )
    is_major = models.BooleanField("major outage", default=False)
    is_automatic = models.BooleanField(default=False, editable=False)
    is_public = models.BooleanField("on the status page", default=False)
    started_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    postmortem = models.TextField(
        "post-mortem",
        blank=True,
        help_text="Describe the failure, its cause and the changes made. The text is published with the incident.",
    )

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["component"],
                condition=Q(is_automatic=True, resolved_at=None),
                name="one_open_incident_per_component",
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at=None)),
                name="resolved_incidents_have_an_end",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-started_at"], name="incidents_newest_first")]

    def __str__(self) -> str:
        return self.title

    def duration(self, now: datetime) -> timedelta:
        return (self.resolved_at or now) - self.started_at


class IncidentUpdateQuerySet(models.QuerySet["IncidentUpdate"]):
    def published(self, now: datetime) -> "IncidentUpdateQuerySet":
        """Leave out updates that are scheduled for a later time."""
        return self.filter(at__lte=now)

    def due(self, now: datetime) -> "IncidentUpdateQuerySet":
        """Return the scheduled updates that are due."""
        return self.published(now).filter(is_scheduled=True)


class IncidentUpdate(models.Model):
    """A message in the timeline of an incident. If its time is in the future, it is published at that time."""

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="updates")
    at = models.DateTimeField()
    state = models.CharField(max_length=15, choices=IncidentState)
    text = models.TextField()
    is_scheduled = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="The update is scheduled, so it does not set the state of the incident yet.",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects = IncidentUpdateQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.state} at {self.at:%Y-%m-%d %H:%M:%S}"
