"""Schedule tasks. The first line of a docstring is the purpose of the task in the admin."""

from django.utils import timezone

from core.lib.schedules import hourly
from otlp import sums


@hourly(minute=40, title="Delete old OpenTelemetry sums")
def prune_sums() -> int:
    """Delete the last values of OpenTelemetry sums that are no longer reported."""
    return sums.prune(now=timezone.now())
