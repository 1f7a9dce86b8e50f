"""Define dependencies, which hold back notifications about the consequences of another alert."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Dependency(models.Model):
    """A dependency of alerts on the alert about their cause.

    Alerts that match `matchers` send no notifications while an alert that matches `cause` is open, acknowledged or
    dismissed. `alerts.queries.dependencies` defines further conditions.
    """

    comment = models.CharField(max_length=300)
    matchers = models.JSONField(default=dict, blank=True)
    cause = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "dependencies"
        ordering = ["comment", "pk"]
        constraints: ClassVar = [
            # An empty `cause` would match every alert.
            models.CheckConstraint(condition=~Q(cause={}), name="dependencies_name_a_cause"),
        ]

    def __str__(self) -> str:
        return self.comment
