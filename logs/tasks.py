"""Define the tasks of this app. The admin shows the first line of a task's docstring as its purpose."""

from django.utils import timezone

from core.lib.schedules import every
from logs import services


@every(minutes=10, title="Delete old logs")
def prune_logs() -> dict[str, int]:
    """Delete logs past their retention."""
    return {"deleted": services.prune(now=timezone.now())}
