"""Scheduled tasks. The first line of a docstring is the task's name in the admin."""

from django.utils import timezone

from core.lib.schedules import hourly
from errors.services import hourly_counts, retention


@hourly(minute=10)
def prune() -> dict[str, int]:
    """Delete events past their app's retention."""
    return retention.prune(now=timezone.now())


@hourly(minute=1)
def add_up_hours() -> int:
    """Roll up hourly error counts, for charts of a week and a month."""
    return hourly_counts.roll_up(now=timezone.now())
