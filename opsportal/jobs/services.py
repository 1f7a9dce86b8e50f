"""Run what is due exactly once, whoever is killed, and keep its history.

The minute tick only nudges. A worker that gets the nudge claims the job (`running.claim`) with one conditional
UPDATE that also moves `next_run_at`, so of any number of workers on any number of nodes one gets it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery

from opsportal.jobs.models import Job, JobRun, Node, Outcome
from opsportal.jobs.running import LEASE_GRACE
from opsportal.lib import locks, queue, schedules

TICK = "opsportal.jobs.tasks.tick"
NUDGE_AGAIN = timedelta(seconds=25)  # a nudge may be lost with the worker that took it


def sync_jobs(now: datetime) -> None:
    """Make the rows agree with the code: one per scheduled task, and the one schedule that ticks."""
    known = {scheduled.name: scheduled for scheduled in schedules.registry}
    with locks.cluster_lock("jobs.sync"), transaction.atomic():
        Job.objects.exclude(name__in=known).delete()
        for job in Job.objects.all():
            scheduled = known.pop(job.name)
            if (job.cron, job.summary) != (scheduled.cron, scheduled.summary[:300]):
                Job.objects.filter(pk=job.pk).update(
                    cron=scheduled.cron,
                    summary=scheduled.summary[:300],
                    next_run_at=scheduled.next_after(now),
                )
        Job.objects.bulk_create(
            Job(
                name=scheduled.name,
                cron=scheduled.cron,
                summary=scheduled.summary[:300],
                next_run_at=_first_run(scheduled, now),
            )
            for scheduled in known.values()
        )
        queue.schedule_every_minute("opsportal tick", TICK)


def _first_run(scheduled: schedules.Scheduled, now: datetime) -> datetime:
    """What runs each minute starts at once, so that a newcomer's first page is not an empty one."""
    following = scheduled.next_after(now)
    return now if following - now <= timedelta(minutes=1) else following


def nudge_due(now: datetime) -> list[str]:
    """Queue every due job that was not just queued. Cheap when none is; returns their names."""
    nudged = []
    for job in Job.objects.due(now):
        stale = Job.objects.filter(pk=job.pk, nudged_at=job.nudged_at)
        if job.nudged_at and timedelta(0) <= now - job.nudged_at < NUDGE_AGAIN:
            continue
        if job.name in schedules.registry and stale.update(nudged_at=now):
            limit = schedules.registry.get(job.name).timeout
            queue.enqueue_for(limit, "opsportal.jobs.tasks.run", name=job.name)
            nudged.append(job.name)
    return nudged


def tick(now: datetime) -> list[str]:
    """Each minute: mend what a stepped clock or a rolling upgrade put out of order, then nudge what is due."""
    rows = {job.name: job for job in Job.objects.all()}
    if any(name not in rows for name in schedules.registry.names()):
        sync_jobs(now)  # an older node, started later, took our newer jobs away
    for job in rows.values():
        if job.name in schedules.registry:
            _realign(job, schedules.registry.get(job.name), now)
    return nudge_due(now)


def _realign(job: Job, scheduled: schedules.Scheduled, now: datetime) -> None:
    """After the clock was set back, the next run and a lease may lie absurdly far ahead.

    Two runs ahead is normal between nodes whose clocks differ by seconds, so only more than that is mended.
    """
    following = scheduled.next_after(scheduled.next_after(now))
    if job.next_run_at > following:
        Job.objects.filter(pk=job.pk, next_run_at=job.next_run_at).update(
            next_run_at=scheduled.next_after(now)
        )
    longest = now + scheduled.timeout + LEASE_GRACE
    if job.lease_until and job.lease_until > longest + timedelta(minutes=2):
        Job.objects.filter(pk=job.pk, owner=job.owner).update(lease_until=longest)


# --- nodes ------------------------------------------------------------------------------------------------


def note_alive(
    now: datetime,
    *,
    pid: int = 0,
    started: bool = False,
    ticked: bool = False,
    progressed: bool = False,
) -> None:
    """Say that this node's cluster runs; `ticked`: its worker got the minute tick; `progressed`: it takes up tasks."""
    reported: dict[str, object] = {"version": settings.VERSION, "seen_at": now}
    if pid:
        reported["pid"] = pid
    if started:
        reported["started_at"] = now
    if ticked:
        reported["last_tick_at"] = now
    if progressed:
        reported["last_progress_at"] = now
    Node.objects.update_or_create(name=settings.INSTANCE[:100], defaults=reported)


def is_hung(now: datetime, *, since: datetime) -> bool:
    """True when this node's cluster, running since then, leaves work waiting and has taken nothing up for too long."""
    patience = timedelta(seconds=2 * settings.Q_CLUSTER["timeout"] + 30)
    if queue.backlog(now).oldest_seconds < 30:
        return False
    node = Node.objects.filter(name=settings.INSTANCE[:100]).first()
    progress = (node and node.last_progress_at) or since
    return now - max(progress, since) > patience


def release_cluster(now: datetime, *, cluster_id: str) -> int:
    """After a cluster was killed: what its workers had taken may start again at once. Returns how many jobs."""
    others = Node.objects.filter(seen_at__gte=now - NODE_GONE).exclude(name=settings.INSTANCE[:100])
    if not others.exists():
        queue.requeue_reserved(now)
    return Job.objects.filter(owner__startswith=f"{cluster_id}:").update(
        lease_until=now - timedelta(seconds=1), nudged_at=None
    )


NODE_GONE = timedelta(seconds=150)


@dataclass(frozen=True)
class QueueState:
    """How background work goes, over all nodes."""

    backlog: int
    oldest_seconds: float  # how long the oldest waiting nudge has waited; 0 when none waits
    tick_age_seconds: (
        float | None
    )  # since a worker anywhere last got the minute tick or started; None: never
    nodes: tuple[Node, ...]  # those heard of lately, by name
    alive: bool  # at least one node, and it ticks


def queue_state(now: datetime) -> QueueState:
    waiting = queue.backlog(now)
    known = list(Node.objects.order_by("name"))
    nodes = tuple(node for node in known if node.seen_at >= now - NODE_GONE)
    ticks = [at for node in known for at in (node.last_tick_at, node.started_at) if at]
    tick_age = (now - max(ticks)).total_seconds() if ticks else None
    return QueueState(
        backlog=waiting.count,
        oldest_seconds=waiting.oldest_seconds,
        tick_age_seconds=tick_age,
        nodes=nodes,
        alive=bool(nodes) and tick_age is not None and tick_age <= NODE_GONE.total_seconds(),
    )


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobLine:
    """One scheduled job, ready to show."""

    name: str
    summary: str
    cron: str
    is_enabled: bool
    is_late: bool
    next_run_at: datetime
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_outcome: str
    last_result: str


LATE = timedelta(minutes=2)


def job_overview(now: datetime) -> list[JobLine]:
    """Every scheduled job with its last run, by name."""
    newest = JobRun.objects.filter(job=OuterRef("pk")).exclude(finished_at=None)
    result = Subquery(newest.order_by("-started_at", "-pk").values("result")[:1])
    results = dict(Job.objects.values_list("pk", result))
    return [
        JobLine(
            name=job.name,
            summary=job.summary,
            cron=job.cron,
            is_enabled=job.is_enabled,
            is_late=job.is_enabled and not job.owner and job.next_run_at < now - LATE,
            next_run_at=job.next_run_at,
            last_started_at=job.last_started_at,
            last_finished_at=job.last_finished_at,
            last_outcome=job.last_outcome,
            last_result=results.get(job.pk) or "",
        )
        for job in Job.objects.order_by("name")
    ]


# --- keeping it small ---------------------------------------------------------------------------------------

KEEP_SUCCEEDED = timedelta(days=7)
KEEP_OTHERS = timedelta(days=30)
BATCH = 5000


def prune_runs(*, now: datetime, limit: int = BATCH) -> int:
    """Delete old history, at most `limit` rows. Returns how many; fewer than `limit` means all are gone."""
    old = JobRun.objects.filter(started_at__lt=now - KEEP_SUCCEEDED).filter(
        Q(outcome=Outcome.SUCCEEDED) | Q(started_at__lt=now - KEEP_OTHERS)
    )
    ids = list(old.order_by("started_at").values_list("pk", flat=True)[:limit])
    return JobRun.objects.filter(pk__in=ids).delete()[0]


def prune_nodes(*, now: datetime) -> int:
    return Node.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()[0]
