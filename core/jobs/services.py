"""Schedule jobs so that each is run once when due, even if workers are killed, and store the nodes' reports.

The minute tick only queues due jobs. A worker claims a job (`running.claim`) with one conditional UPDATE that also
moves `next_run_at`, so that only one worker runs it, regardless of the number of nodes.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.jobs.models import NODE_TIMEOUT, Job, JobRun, Node, Outcome
from core.jobs.running import LEASE_GRACE
from core.lib import locks, queue, schedules

TICK = "core.jobs.tasks.tick"
URGENT_FALLBACK = timedelta(seconds=15)
# A due job is queued again after this time, because its task may be lost with a killed worker.
REQUEUE_AFTER = timedelta(seconds=25)


def sync_jobs(now: datetime) -> None:
    """Synchronize the rows with the code: one Job per scheduled task, and the schedule of the tick."""
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
    """Return when a new job is first due.

    A job that runs every minute is due immediately, so that a new installation soon has data.
    """
    next_run = scheduled.next_after(now)
    return now if next_run - now <= timedelta(minutes=1) else next_run


def queue_due_jobs(now: datetime) -> list[str]:
    """Queue the due jobs that were not queued within REQUEUE_AFTER. Return their names."""
    queued = []
    for job in Job.objects.due(now):
        unchanged = Job.objects.filter(pk=job.pk, nudged_at=job.nudged_at)
        if job.nudged_at and timedelta(0) <= now - job.nudged_at < REQUEUE_AFTER:
            continue
        if _is_left_to_continuous_task(job, now):
            continue
        if job.name in schedules.registry and unchanged.update(nudged_at=now):
            timeout = schedules.registry.get(job.name).timeout
            queue.enqueue_for(timeout, "core.jobs.tasks.run", name=job.name)
            queued.append(job.name)
    return queued


def _is_left_to_continuous_task(job: Job, now: datetime) -> bool:
    """Return True for an urgent job that the continuous task should start soon.

    If the job is still due after URGENT_FALLBACK, workers run it.
    """
    is_urgent = job.name in schedules.registry and schedules.registry.get(job.name).is_urgent
    return is_urgent and now - job.next_run_at < URGENT_FALLBACK


def tick(now: datetime) -> list[str]:
    """Correct rows after a clock change or a rolling upgrade, then queue due jobs. This runs every minute."""
    rows = {job.name: job for job in Job.objects.all()}
    if any(name not in rows for name in schedules.registry.names()):
        # When a node with older code starts, it deletes the rows of jobs that its code lacks. This node adds them
        # again.
        sync_jobs(now)
    for job in rows.values():
        if job.name in schedules.registry:
            _realign(job, schedules.registry.get(job.name), now)
    return queue_due_jobs(now)


def _realign(job: Job, scheduled: schedules.Scheduled, now: datetime) -> None:
    """Move the next run and the lease if they are too far in the future because the clock was set back.

    The clocks of nodes may differ by seconds, so another node may legitimately have set a next run up to two runs
    ahead.
    """
    latest_next_run = scheduled.next_after(scheduled.next_after(now))
    if job.next_run_at > latest_next_run:
        Job.objects.filter(pk=job.pk, next_run_at=job.next_run_at).update(
            next_run_at=scheduled.next_after(now)
        )
    latest_lease = now + scheduled.timeout + LEASE_GRACE
    if job.lease_until and job.lease_until > latest_lease + timedelta(minutes=2):
        Job.objects.filter(pk=job.pk, owner=job.owner).update(lease_until=latest_lease)


# --- nodes ------------------------------------------------------------------------------------------------


def report_node(
    now: datetime,
    *,
    pid: int = 0,
    has_started: bool = False,
    has_ticked: bool = False,
    has_progressed: bool = False,
) -> None:
    """Record that this node's cluster is running.

    Set `has_ticked` when a worker has received the minute tick, and `has_progressed` when a worker starts a task.
    """
    report: dict[str, object] = {"version": settings.VERSION, "seen_at": now}
    if pid:
        report["pid"] = pid
    if has_started:
        report["started_at"] = now
    if has_ticked:
        report["last_tick_at"] = now
    if has_progressed:
        report["last_progress_at"] = now
    Node.objects.update_or_create(name=settings.INSTANCE[:100], defaults=report)


def is_hung(now: datetime, *, since: datetime) -> bool:
    """Return True if tasks are queued but this node's cluster, running since `since`, has started none for too long."""
    timeout = timedelta(seconds=2 * settings.Q_CLUSTER["timeout"] + 30)
    if queue.backlog(now).oldest_seconds < 30:
        return False
    node = Node.objects.filter(name=settings.INSTANCE[:100]).first()
    last_progress = (node and node.last_progress_at) or since
    return now - max(last_progress, since) > timeout


def release_cluster(now: datetime, *, cluster_id: str) -> int:
    """Release the jobs that the workers of a killed cluster had claimed, so that they can start again immediately.

    If no other node reports, also requeue the tasks that any cluster had taken. Return the number of released jobs.
    """
    others = Node.objects.filter(seen_at__gte=now - NODE_TIMEOUT).exclude(
        name=settings.INSTANCE[:100]
    )
    if not others.exists():
        queue.requeue_reserved(now)
    return Job.objects.filter(owner__startswith=f"{cluster_id}:").update(
        lease_until=now - timedelta(seconds=1), nudged_at=None
    )


# --- retention ----------------------------------------------------------------------------------------------

SUCCESS_RETENTION = timedelta(days=7)
FAILURE_RETENTION = timedelta(days=30)
BATCH_SIZE = 5000


def prune_runs(*, now: datetime, limit: int = BATCH_SIZE) -> int:
    """Delete at most `limit` old runs. Return the number deleted; if it is less than `limit`, no old run is left."""
    old = JobRun.objects.filter(started_at__lt=now - SUCCESS_RETENTION).filter(
        Q(outcome=Outcome.SUCCEEDED) | Q(started_at__lt=now - FAILURE_RETENTION)
    )
    ids = list(old.order_by("started_at").values_list("pk", flat=True)[:limit])
    return JobRun.objects.filter(pk__in=ids).delete()[0]


def prune_nodes(*, now: datetime) -> int:
    return Node.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()[0]
