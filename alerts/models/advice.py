"""Store the noisiest rules of a week, with the thresholds suggested for them."""

from datetime import datetime
from typing import ClassVar

from django.db import models

from alerts.models.rule import AlertRule


class RuleAdvice(models.Model):
    """A noisy rule that the weekly search found. The next search replaces all rows of this table."""

    rule = models.OneToOneField(AlertRule, models.CASCADE, related_name="advice")
    made_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    rank = models.PositiveSmallIntegerField()
    # These three counts cover the week before `made_at`.
    alert_count = models.PositiveIntegerField()
    acknowledged_count = models.PositiveIntegerField()
    message_count = models.PositiveIntegerField()
    # Time of the oldest reading behind the suggestion, at most 30 days before `made_at`.
    readings_since = models.DateTimeField(null=True)
    threshold = models.FloatField()
    fired_count = models.PositiveIntegerField()
    firing_minutes = models.PositiveIntegerField()
    suggested_threshold = models.FloatField(null=True)
    suggested_fired_count = models.PositiveIntegerField(null=True)
    suggested_firing_minutes = models.PositiveIntegerField(null=True)

    class Meta:
        verbose_name = "noisy rule"
        ordering: ClassVar = ["rank"]

    def __str__(self) -> str:
        return f"advice on {self.rule_id}"
