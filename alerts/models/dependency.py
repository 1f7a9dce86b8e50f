"""Define dependencies, which hold the notifications of some alerts back while the alert about their cause is active."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Dependency(models.Model):
    """A dependency between alerts.

    The notifications of alerts that match `matchers` are held back while an alert that matches `cause` is active.
    `alerts.queries.dependencies` defines which alerts count as a cause.
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
