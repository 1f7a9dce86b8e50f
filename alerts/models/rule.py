"""Define alert rules, whose thresholds staff set, and alert types, which set the response time and the channels."""

import re
from datetime import datetime, timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from alerts.evaluation import Limits
from alerts.extension_points import Cadence, NoData, Severity
from core.lib import formats


class AlertType(models.Model):
    """A kind of problem, with its response time, its channels and its escalation steps."""

    slug = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=100)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.HIGH)
    respond_within = models.DurationField(
        null=True,
        blank=True,
        help_text="An alert that is not acknowledged within this time is overdue. Leave empty for no limit.",
    )
    channels = models.ManyToManyField("alerts.Channel", blank=True, related_name="alert_types")
    digest_only = models.BooleanField(
        default=False,
        help_text="Send no individual notifications; list the alerts in the daily digest.",
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    def has_immediate_step(self) -> bool:
        """Return True if the first escalation step is taken as soon as an alert opens."""
        return self.steps.filter(after=timedelta(0)).exists()


class EscalationStep(models.Model):
    """The channels and people to notify if an alert is not acknowledged in time.

    The last step is repeated three times. If a step names a schedule, it notifies the person who is on call at that
    time. People are notified according to their own rules.
    """

    alert_type = models.ForeignKey(AlertType, models.CASCADE, related_name="steps")
    after = models.DurationField(
        help_text="The time after the alert was opened. With 0 min, messages are sent immediately."
    )
    channels = models.ManyToManyField("alerts.Channel", blank=True, related_name="+")
    schedules = models.ManyToManyField("alerts.Schedule", blank=True, related_name="steps")
    teams = models.ManyToManyField("alerts.Team", blank=True, related_name="+")
    people = models.ManyToManyField("alerts.Person", blank=True, related_name="+")

    class Meta:
        ordering = ["alert_type", "after", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["alert_type", "after"], name="one_step_per_delay"),
            models.CheckConstraint(condition=Q(after__gte=timedelta(0)), name="steps_come_later"),
        ]

    def __str__(self) -> str:
        return f"{self.alert_type} after {formats.span(self.after)}"


class AlertRuleQuerySet(models.QuerySet["AlertRule"]):
    def enabled(self) -> "AlertRuleQuerySet":
        return self.filter(is_enabled=True)

    def failing(self) -> "AlertRuleQuerySet":
        return self.enabled().exclude(last_error="")


class AlertRule(models.Model):
    """A rule with the limits and severity that staff set. A rule from code is linked to its measure by its name."""

    name = models.CharField(max_length=100, unique=True)
    summary = models.CharField(max_length=200)
    unit = models.CharField(max_length=30, blank=True)
    below = models.BooleanField(
        default=False,
        help_text="The rule is breached when the value is at or below the threshold.",
    )
    threshold = models.FloatField()
    clear_threshold = models.FloatField(
        null=True,
        blank=True,
        help_text="The alert resolves at this value. Leave empty for 80 % of the threshold "
        "(125 % if low values are bad).",
    )
    critical_threshold = models.FloatField(
        null=True,
        blank=True,
        help_text="The severity becomes critical at this value. Leave empty if it should not change.",
    )
    window = models.DurationField(
        help_text="The period that one evaluation covers, such as 15 min or 1 h."
    )
    breaches_needed = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="The number of breaches that opens an alert.",
    )
    out_of = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Breaches are counted among this many recent evaluations.",
    )
    clear_after = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="The number of consecutive clear evaluations that resolves an alert.",
    )
    min_samples = models.PositiveIntegerField(
        default=0, help_text="Fewer samples than this count as no data."
    )
    no_data = models.CharField(max_length=5, choices=NoData, default=NoData.OK)
    severity = models.CharField(max_length=10, choices=Severity)
    alert_type = models.CharField(max_length=100)
    cadence = models.CharField(max_length=20, choices=Cadence, default=Cadence.MINUTE)
    reopen_window = models.DurationField(
        default=timedelta(minutes=15),
        help_text="A breach within this time after the resolution reopens the same alert.",
    )
    cooldown = models.DurationField(
        default=timedelta(0),
        help_text="The minimum time between two notifications about the same problem.",
    )
    repeat_every = models.DurationField(
        null=True,
        blank=True,
        help_text="The time between reminders. Leave empty for 4 h (critical, high) or 24 h (medium, warning); "
        "info gets no reminders.",
    )
    runbook = models.CharField(
        max_length=500, blank=True, help_text="Enter a link or short instructions."
    )
    is_enabled = models.BooleanField(default=True)

    # A rule that staff created reads the recorded metric that these two fields select. They are empty for a rule from
    # code.
    reader = models.CharField(max_length=100, blank=True)
    selector = models.CharField(
        max_length=200, blank=True, help_text="The name of the metric, as it is recorded."
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
                violation_error_message='"Breaches needed" cannot exceed "out of".',
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
        """Return the summary without additions such as "…; also …" or "… (gauge x)"."""
        return re.split(r"; | \(", self.summary)[0]

    @property
    def is_custom(self) -> bool:
        return bool(self.reader)

    def get_limits(self) -> Limits:
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
            no_data=NoData(self.no_data),
            reopen_window=self.reopen_window,
            flapping_clear_period=2 * min(self.window, timedelta(minutes=30)),
        )


class RuleReading(models.Model):
    """The value that a rule measured for one problem in one minute, used for charts and previews of thresholds."""

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
