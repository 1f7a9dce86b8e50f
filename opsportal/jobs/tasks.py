"""What workers run: the tick, one due job, and the clean-up of both."""

from datetime import timedelta

from django.utils import timezone

from opsportal.jobs import running, services
from opsportal.lib import queue
from opsportal.lib.schedules import daily


def tick() -> int:
    """The minute tick of django-q2's scheduler. No payload: the rows say what is due."""
    now = timezone.now()
    services.note_alive(now, ticked=True)
    return len(services.tick(now))


def run(*, name: str, **newer_arguments: object) -> str:
    """Run one due job, unless another worker has it already."""
    return running.run_job(name, timezone.now()) or ""


@daily(hour=2, minute=10)
def prune_history() -> str:
    """Forget job runs after a week (failures after a month), and what the queue recorded."""
    now = timezone.now()
    runs = 0
    while (gone := services.prune_runs(now=now)) > 0:
        runs += gone
    recorded = queue.prune_history(before=now - timedelta(days=30), limit=services.BATCH)
    nodes = services.prune_nodes(now=now)
    return f"{runs} runs, {recorded} queue records, {nodes} nodes"
