"""Define the tasks of the scheduler: the tick, running a due job, and deleting old records."""

from datetime import timedelta

from django.utils import timezone

from core.jobs import running, services, urgent
from core.lib import queue
from core.lib.continuous import Control, continuous
from core.lib.schedules import daily


def tick() -> int:
    """Queue the due jobs. django-q2's scheduler runs this every minute."""
    now = timezone.now()
    services.report_node(now, has_ticked=True)
    return len(services.tick(now))


def run(*, name: str, **newer_arguments: object) -> str:
    """Run one due job, unless another worker has claimed it."""
    return running.run_job(name, timezone.now()) or ""


@continuous
def urgent_jobs(control: Control) -> None:
    """Run urgent jobs outside the workers, so that they start on time while slow jobs occupy all workers."""
    urgent.run(control)


@daily(hour=2, minute=10, title="Delete old job runs")
def prune_history() -> str:
    """Delete job runs after a week (failures after a month) and old queue records."""
    now = timezone.now()
    runs = 0
    while (deleted := services.prune_runs(now=now)) > 0:
        runs += deleted
    records = queue.prune_history(before=now - timedelta(days=30), limit=services.BATCH_SIZE)
    nodes = services.prune_nodes(now=now)
    return f"{runs} runs, {records} queue records, {nodes} nodes"
