"""Define on-call schedules with rotations of people and overrides. `alerts.oncall.plan` decides who is on call."""

from datetime import date, time, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from alerts.models.channel import validate_time_zone
from alerts.models.people import Person
from alerts.oncall import plan
from core.lib import formats
from core.lib.reference_field import ReferenceField

ALL_WEEKDAYS = list(range(1, 8))
WEEKDAYS = {
    1: "Monday",
    2: "Tuesday",
    3: "Wednesday",
    4: "Thursday",
    5: "Friday",
    6: "Saturday",
    7: "Sunday",
}


class TurnUnit(models.TextChoices):
    DAY = plan.TurnUnit.DAY.value, "days"
    WEEK = plan.TurnUnit.WEEK.value, "weeks"
    MONTH = plan.TurnUnit.MONTH.value, "months"


def validate_weekdays(value: object) -> None:
    if not isinstance(value, list) or not value or any(day not in ALL_WEEKDAYS for day in value):
        raise ValidationError("Enter a list of weekdays, from 1 for Monday to 7 for Sunday.")


def all_weekdays() -> list[int]:
    return list(ALL_WEEKDAYS)


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    def with_people(self) -> "ScheduleQuerySet":
        """Prefetch the rows that `get_plan` reads, and the people whose names are shown."""
        return self.prefetch_related(
            "rotations__members__person", "overrides__person", "overrides__instead_of"
        )


class Schedule(models.Model):
    """A role that one person has at a time, such as "Primary". An escalation step can notify the person on call."""

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=300, blank=True)
    time_zone = models.CharField(
        max_length=50,
        default="UTC",
        validators=[validate_time_zone],
        help_text="The time zone in which the schedule is shown, for example Europe/Berlin.",
    )
    # The signature of the calendar's URL includes this number. Increasing it invalidates earlier URLs.
    feed_version = models.PositiveIntegerField(default=1, editable=False)

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        verbose_name = "on-call schedule"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def get_plan(self) -> plan.Plan:
        rotations = sorted(self.rotations.all(), key=lambda one: (one.position, one.pk))
        overrides = sorted(self.overrides.all(), key=lambda one: one.pk)
        return plan.Plan(
            tuple(rotation.get_plan() for rotation in rotations),
            tuple(override.get_plan() for override in overrides),
        )


class Rotation(models.Model):
    """People who take turns.

    If the hours of several rotations overlap, the first of these rotations decides who is on call.
    """

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="rotations")
    name = models.CharField(max_length=100)
    reference = ReferenceField(source="name")
    position = models.PositiveSmallIntegerField(
        default=1,
        help_text="If the hours of several rotations overlap, the rotation with the lowest number applies.",
    )
    every = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(366)]
    )
    unit = models.CharField(max_length=10, choices=TurnUnit, default=TurnUnit.WEEK)
    first_day = models.DateField(
        validators=[MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2100, 1, 1))],
        help_text="The day of the first handover. Weekly turns change on the weekday of this day.",
    )
    handover_at = models.TimeField(default=time(9))
    time_zone = models.CharField(max_length=50, default="UTC", validators=[validate_time_zone])
    on_from = models.TimeField(null=True, blank=True)
    on_until = models.TimeField(
        null=True,
        blank=True,
        help_text="If this is earlier than the start, the hours end on the next day.",
    )
    weekdays = models.JSONField(
        default=all_weekdays,
        validators=[validate_weekdays],
        help_text="If the hours run past midnight, choose the days on which they begin.",
    )

    class Meta:
        ordering = ["schedule", "position", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["schedule", "name"], name="one_rotation_per_name"),
            models.CheckConstraint(condition=Q(every__gte=1), name="turns_have_a_length"),
            models.CheckConstraint(
                condition=Q(on_from__isnull=True, on_until__isnull=True)
                | Q(on_from__isnull=False, on_until__isnull=False),
                name="hours_have_both_ends",
                violation_error_message="Enter both the start and the end of the hours, or neither.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule}: {self.name}"

    def get_plan(self) -> plan.Rotation:
        has_hours = self.on_from is not None and self.on_until is not None
        return plan.Rotation(
            id=self.pk,
            people=tuple(
                member.person_id
                for member in sorted(self.members.all(), key=lambda one: (one.position, one.pk))
            ),
            first_day=self.first_day,
            handover_at=self.handover_at,
            zone=ZoneInfo(self.time_zone),
            unit=plan.TurnUnit(self.unit),
            every=self.every,
            hours=(self.on_from, self.on_until) if has_hours else None,  # type: ignore[arg-type]
            weekdays=frozenset(self.weekdays),
        )

    @property
    def turns_text(self) -> str:
        """Return the length and handover of a turn, such as "weekly, Mondays at 09:00 (Europe/Berlin)"."""
        if self.every > 1:
            length = f"every {self.every} {TurnUnit(self.unit).label}"
        else:
            length = {TurnUnit.DAY: "daily", TurnUnit.WEEK: "weekly"}.get(
                TurnUnit(self.unit), "monthly"
            )
        day = f"{WEEKDAYS[self.first_day.isoweekday()]}s " if self.unit == TurnUnit.WEEK else ""
        if self.unit == TurnUnit.MONTH:
            day = f"on day {self.first_day.day} "
        return f"{length}, {day}at {self.handover_at:%H:%M} ({self.time_zone})"

    @property
    def hours_text(self) -> str:
        """Return the hours and weekdays of the rotation, such as "09:00 to 17:00, Monday, Tuesday", or "always"."""
        parts = []
        if self.on_from is not None and self.on_until is not None:
            parts.append(f"{self.on_from:%H:%M} to {self.on_until:%H:%M}")
        if set(self.weekdays) != set(ALL_WEEKDAYS):
            parts.append(", ".join(WEEKDAYS[day] for day in sorted(self.weekdays)))
        return ", ".join(parts) or "always"


class RotationMember(models.Model):
    """A person's place in the order of a rotation."""

    rotation = models.ForeignKey(Rotation, models.CASCADE, related_name="members")
    person = models.ForeignKey(Person, models.CASCADE, related_name="rotation_places")
    position = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["rotation", "position", "pk"]

    def __str__(self) -> str:
        return f"{self.position}. {self.person}"


class ScheduleOverride(models.Model):
    """A person who takes over for a time. If several overrides overlap, the newest override applies."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="overrides")
    reference = ReferenceField(source="comment")
    person = models.ForeignKey(Person, models.CASCADE, related_name="+")
    # Deleting this person deletes the override, because an override without `instead_of` applies to everyone.
    instead_of = models.ForeignKey(
        Person,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Take over only the shifts of this person. Leave empty to take over the whole period.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    comment = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "on-call override"
        ordering = ["-starts_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="overrides_end_after_they_start",
                violation_error_message="The end must be after the start.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.person} in {self.schedule}, {self.starts_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M}"

    def get_plan(self) -> plan.Override:
        return plan.Override(
            self.pk, self.person_id, self.starts_at, self.ends_at, self.instead_of_id
        )


class NotificationRule(models.Model):
    """A way to notify a person: a channel, and a delay that starts when an escalation step names the person."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="notification_rules")
    reference = ReferenceField(source="channel")
    after = models.DurationField(
        default=timedelta(0),
        help_text="With 0 min, messages are sent immediately. An acknowledgment stops later steps.",
    )
    channel = models.ForeignKey("alerts.Channel", models.CASCADE, related_name="personal_rules")

    class Meta:
        ordering = ["person", "after", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["person", "channel", "after"], name="one_rule_per_channel_and_delay"
            ),
            models.CheckConstraint(
                condition=Q(after__gte=timedelta(0)), name="personal_rules_come_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.channel} after {formats.span(self.after)}"
