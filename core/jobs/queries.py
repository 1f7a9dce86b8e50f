"""Read the state of the task queue and the scheduled jobs, for pages, checks and metrics."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery

from core.jobs.models import NODE_TIMEOUT, OFF, Job, JobRun, Node, Outcome
from core.lib import queue

LATE_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class QueueState:
    """The state of the task queue, the scheduled jobs and the workers of all nodes."""

    backlog: int
    oldest_seconds: float  # The age of the oldest queued task, or 0 if there is none.
    # The time since a worker last started, or received the tick that is queued every minute. None if neither has
    # happened.
    tick_age_seconds: float | None
    # The time that the most overdue job has been waiting to start, or 0 if no job is due.
    late_seconds: float
    late_job: str  # The title of the most overdue job.
    nodes: tuple[Node, ...]  # The nodes that reported within NODE_TIMEOUT.
    # True if a node has reported, and a worker has started or received the tick, within NODE_TIMEOUT.
    alive: bool


def queue_state(now: datetime) -> QueueState:
    backlog = queue.backlog(now)
    known = list(Node.objects.order_by("name"))
    nodes = tuple(node for node in known if node.seen_at >= now - NODE_TIMEOUT)
    ticks = [at for node in known for at in (node.last_tick_at, node.started_at) if at]
    tick_age = (now - max(ticks)).total_seconds() if ticks else None
    waiting = Job.objects.filter(is_enabled=True, owner="", next_run_at__lte=now)
    late = waiting.order_by("next_run_at").first()
    # After a downtime, jobs may have been due for hours, but they could not start before a node ran. Therefore, they
    # count as late only since the first node started.
    started_at = min((node.started_at for node in nodes if node.started_at), default=None)
    return QueueState(
        backlog=backlog.count,
        oldest_seconds=backlog.oldest_seconds,
        tick_age_seconds=tick_age,
        late_seconds=(now - max(late.next_run_at, started_at or late.next_run_at)).total_seconds()
        if late
        else 0.0,
        late_job=late.title if late else "",
        nodes=nodes,
        alive=bool(nodes) and tick_age is not None and tick_age <= NODE_TIMEOUT.total_seconds(),
    )


@dataclass(frozen=True)
class JobLine:
    """A scheduled job with its last run, for display."""

    name: str
    title: str
    summary: str
    schedule: str
    is_enabled: bool
    is_late: bool
    next_run_at: datetime
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_outcome: str
    last_result: str  # OFF if the job had nothing to do because its feature is not configured.

    @property
    def is_off(self) -> bool:
        return not self.is_enabled or self.last_result == OFF

    @property
    def has_failed(self) -> bool:
        return self.last_outcome in (Outcome.FAILED, Outcome.LOST)


def job_overview(now: datetime) -> list[JobLine]:
    """Return every scheduled job with its last run, sorted by name."""
    newest = JobRun.objects.filter(job=OuterRef("pk")).exclude(finished_at=None)
    result = Subquery(newest.order_by("-started_at", "-pk").values("result")[:1])
    results = dict(Job.objects.values_list("pk", result))
    return [
        JobLine(
            name=job.name,
            title=job.title,
            summary=job.summary,
            schedule=job.schedule,
            is_enabled=job.is_enabled,
            is_late=job.is_enabled and not job.owner and job.next_run_at < now - LATE_AFTER,
            next_run_at=job.next_run_at,
            last_started_at=job.last_started_at,
            last_finished_at=job.last_finished_at,
            last_outcome=job.last_outcome,
            last_result=results.get(job.pk) or "",
        )
        for job in Job.objects.order_by("name")
    ]
