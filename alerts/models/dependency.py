"""Define dependencies: some alerts send no notifications while the alert about their cause is active."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Dependency(models.Model):
    """Alerts that match `matchers` are held back while an alert that matches `cause` is active and known."""

    comment = models.CharField(max_length=300)
    matchers = models.JSONField(default=dict, blank=True)
    cause = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "dependencies"
        ordering = ["comment", "pk"]
        constraints: ClassVar = [
            # Without matchers, every alert would be the cause of all other alerts.
            models.CheckConstraint(condition=~Q(cause={}), name="dependencies_name_a_cause"),
        ]

    def __str__(self) -> str:
        return self.comment
