"""What runs by the clock."""

from django.utils import timezone

from core.lib.schedules import hourly
from errors.services import hourly_counts, retention


@hourly(minute=10)
def prune() -> dict[str, int]:
    """Remove events past their app's retention, a chunk at a time."""
    return retention.prune(now=timezone.now())


@hourly(minute=1)
def add_up_hours() -> int:
    """Add up the minutes of the hour that is over, for charts of a week and a month."""
    return hourly_counts.roll_up(now=timezone.now())
