"""Schedule tasks. The first line of a docstring is the purpose of the task in the admin."""

from django.utils import timezone

from core.lib.schedules import every
from logs import services


@every(minutes=10, title="Delete old logs")
def prune_logs() -> int:
    """Delete logs past their retention."""
    return services.prune(now=timezone.now())
