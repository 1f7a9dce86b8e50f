"""What can be wrong, as staff set it: rules (thresholds) and alert types (how fast, and who is told)."""

import re
from datetime import datetime, timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from alerts.evaluation import Limits
from alerts.rules import Severity


class NoData(models.TextChoices):
    OK = "ok", "counts as fine"
    KEEP = "keep", "changes nothing"
    ALERT = "alert", "counts as a breach"


class Cadence(models.TextChoices):
    MINUTE = "minute", "each minute"
    ERRORS = "errors", "each minute, and the hourly error check (minute 0)"
    PERFORMANCE = "performance", "each minute, and the hourly performance check (minute 15)"
    DELIVERY = "delivery", "each minute, and the hourly delivery check (minute 30)"


class AlertType(models.Model):
    """A kind of problem: how soon somebody must respond, which channels hear of it, how it escalates."""

    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=100)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.HIGH)
    respond_within = models.DurationField(
        null=True,
        blank=True,
        help_text="hh:mm:ss. Not acknowledged in that time: overdue. Empty: never.",
    )
    channels = models.ManyToManyField("alerts.Channel", blank=True, related_name="alert_types")
    digest_only = models.BooleanField(
        default=False, help_text="Not announced one by one; listed in the daily digest."
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class EscalationStep(models.Model):
    """Who hears of an alert that nobody acknowledged; the last step repeats three times."""

    alert_type = models.ForeignKey(AlertType, models.CASCADE, related_name="steps")
    after = models.DurationField(help_text="hh:mm:ss after the alert opened.")
    channels = models.ManyToManyField("alerts.Channel", related_name="+")

    class Meta:
        ordering = ["alert_type", "after", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["alert_type", "after"], name="one_step_per_delay"),
            models.CheckConstraint(condition=Q(after__gt=timedelta(0)), name="steps_come_later"),
        ]

    def __str__(self) -> str:
        return f"{self.alert_type} after {self.after}"


class AlertRuleQuerySet(models.QuerySet["AlertRule"]):
    def enabled(self) -> "AlertRuleQuerySet":
        return self.filter(is_enabled=True)

    def failing(self) -> "AlertRuleQuerySet":
        return self.enabled().exclude(last_error="")


class AlertRule(models.Model):
    """A measure, its limits, and what a breach is worth. The name ties it to the code that measures."""

    name = models.CharField(max_length=100, unique=True)
    summary = models.CharField(max_length=200)
    unit = models.CharField(max_length=30, blank=True)
    below = models.BooleanField(
        default=False, help_text="Breached when the value falls to the threshold or under it."
    )
    threshold = models.FloatField()
    clear_threshold = models.FloatField(
        null=True,
        blank=True,
        help_text="Over when the value is back at this. Empty: 80 % of the threshold (125 % for a floor).",
    )
    critical_threshold = models.FloatField(
        null=True, blank=True, help_text="From here on the alert is critical. Empty: never."
    )
    window = models.DurationField(help_text="hh:mm:ss of data that one evaluation looks at.")
    breaches_needed = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="Opens after so many breaches …"
    )
    out_of = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="… among the last so many evaluations.",
    )
    clear_after = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Resolves after so many clear evaluations in a row.",
    )
    min_samples = models.PositiveIntegerField(
        default=0, help_text="Fewer observations than this count as no data."
    )
    no_data = models.CharField(max_length=5, choices=NoData, default=NoData.OK)
    severity = models.CharField(max_length=10, choices=Severity)
    alert_type = models.CharField(max_length=100)
    cadence = models.CharField(max_length=20, choices=Cadence, default=Cadence.MINUTE)
    reopen_window = models.DurationField(
        default=timedelta(minutes=15),
        help_text="hh:mm:ss. A breach this soon after the end reopens the same alert.",
    )
    cooldown = models.DurationField(
        default=timedelta(0), help_text="hh:mm:ss between two announcements of the same problem."
    )
    repeat_every = models.DurationField(
        null=True,
        blank=True,
        help_text="hh:mm:ss between reminders. Empty: 4 h when critical or high, else 24 h, never for info.",
    )
    runbook = models.CharField(max_length=500, blank=True, help_text="Link or a few words.")
    is_enabled = models.BooleanField(default=True)

    # A rule that staff made: which recorded metric it reads, and how. Empty for rules that code brings.
    reader = models.CharField(max_length=100, blank=True)
    selector = models.CharField(
        max_length=200, blank=True, help_text="The metric's name, as it was recorded."
    )

    last_evaluated_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_value = models.FloatField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    failure_count = models.PositiveIntegerField(default=0, editable=False)

    objects = AlertRuleQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(breaches_needed__gte=1) & Q(breaches_needed__lte=F("out_of")),
                name="n_of_m_can_be_reached",
                violation_error_message="More breaches are needed than evaluations are looked at.",
            ),
            models.CheckConstraint(condition=Q(clear_after__gte=1), name="clears_after_something"),
            models.CheckConstraint(
                condition=Q(window__gt=timedelta(0)), name="window_is_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def problem_name(self) -> str:
        """The summary without what is about the rule and not about the problem: "…; also …", "… (gauge x)"."""
        return re.split(r"; | \(", self.summary)[0]

    @property
    def is_custom(self) -> bool:
        return bool(self.reader)

    def limits(self) -> Limits:
        return Limits(
            threshold=self.threshold,
            severity=Severity(self.severity),
            below=self.below,
            clear_threshold=self.clear_threshold,
            critical_threshold=self.critical_threshold,
            breaches_needed=self.breaches_needed,
            out_of=self.out_of,
            clear_after=self.clear_after,
            min_samples=self.min_samples,
            no_data=self.no_data,
            reopen_window=self.reopen_window,
            calm_needed=2 * min(self.window, timedelta(minutes=30)),
        )


class RuleReading(models.Model):
    """What a rule saw in one minute: the chart beside an alert, and the preview of another threshold."""

    rule = models.ForeignKey(AlertRule, models.CASCADE, related_name="readings")
    key = models.CharField(max_length=200)
    at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    value = models.FloatField(null=True)
    samples = models.PositiveBigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rule", "key", "at"], name="one_reading_per_rule_key_minute"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["at"], name="readings_by_age")]

    def __str__(self) -> str:
        return f"{self.key} at {self.at:%H:%M}: {self.value}"
