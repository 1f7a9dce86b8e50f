"""Define the tasks of this app. The admin shows the first line of a task's docstring as its purpose."""

from django.utils import timezone

from core.lib.schedules import hourly
from otlp import sums


@hourly(minute=40, title="Delete old OpenTelemetry sums")
def prune_sums() -> dict[str, int]:
    """Delete the last values of OpenTelemetry sums that are no longer reported."""
    return {"deleted": sums.prune(now=timezone.now())}
