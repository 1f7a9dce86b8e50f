"""What runs by the clock."""

from django.utils import timezone

from errors import retention
from opsportal.lib.schedules import hourly


@hourly(minute=10)
def prune() -> dict[str, int]:
    """Remove events past their app's retention, a chunk at a time."""
    return retention.prune(now=timezone.now())
