"""Change on-call schedules: add overrides, and replace the calendar's URL."""

from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import F

from alerts.models import Person, Schedule, ScheduleOverride


def add_override(
    schedule: Schedule,
    *,
    person: Person,
    starts_at: datetime,
    ends_at: datetime,
    instead_of: Person | None = None,
    comment: str = "",
    user: AbstractBaseUser | None = None,
) -> ScheduleOverride:
    """Create an override, so that a person takes over for a time.

    Raises ValidationError if the end is not after the start, or if `person` is `instead_of`.
    """
    if ends_at <= starts_at:
        raise ValidationError("The end must be after the start.")
    if instead_of == person:
        raise ValidationError("A person cannot take over from themselves.")
    return ScheduleOverride.objects.create(
        schedule=schedule,
        person=person,
        instead_of=instead_of,
        starts_at=starts_at,
        ends_at=ends_at,
        comment=comment.strip()[:200],
        created_by_id=user.pk if user else None,
    )


def renew_feed_address(schedule: Schedule) -> None:
    """Replace the URL of the calendar. The previous URL becomes invalid."""
    Schedule.objects.filter(pk=schedule.pk).update(feed_version=F("feed_version") + 1)
