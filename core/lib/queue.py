"""Queue tasks. Outside `core/jobs`, only this module calls django-q2.

A queued task only signals that database rows need work. Scheduled sweeps find the rows of tasks that were lost.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min
from django.utils.module_loading import import_string
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task

from core.lib import request_id
from core.lib.durability import relaxed_durability

log = logging.getLogger(__name__)


def enqueue(task: str, **ids: int | str) -> None:
    """Run `task` (a dotted path) in a worker after the current transaction has committed.

    The arguments must be ids. A task may be lost or run twice, so a scheduled sweep must also find the work.
    """
    enqueue_for(timedelta(seconds=settings.Q_CLUSTER["timeout"]), task, **ids)


def enqueue_for(timeout: timedelta, task: str, **ids: int | str) -> None:
    """Run `task` like `enqueue`, but with this time limit."""
    current_request_id = request_id.current()
    options = {"task_name": task[:100], "timeout": int(timeout.total_seconds())}

    def send() -> None:
        try:
            # Outside of a transaction, django-q2's broker would close the thread's connection.
            with relaxed_durability():
                async_task("core.lib.queue.run", task, current_request_id, ids, q_options=options)
        except Exception:
            # The request must not fail, because its row is committed, and the sweep will find it.
            log.exception("a task was not queued", extra={"task": task})

    transaction.on_commit(send)


def run(task: str, carried_request_id: str, ids: dict[str, Any]) -> object:
    """Run a task in a worker, with the id of the request that queued it."""
    with request_id.use(carried_request_id):
        return import_string(task)(**ids)


@dataclass(frozen=True)
class Backlog:
    """The queued tasks that no worker has started."""

    count: int
    oldest_seconds: float  # The age of the oldest task, or 0 if there is none.


def backlog(now: datetime) -> Backlog:
    # The ORM broker sets `lock` to the current time when it queues a task, and to a time in the future when a worker
    # takes it.
    found = OrmQ.objects.filter(lock__lte=now).aggregate(count=Count("pk"), oldest=Min("lock"))
    oldest = (now - found["oldest"]).total_seconds() if found["oldest"] else 0.0
    return Backlog(found["count"], oldest)


def requeue_reserved(now: datetime) -> int:
    """Requeue the tasks that a killed cluster had taken, which the broker would otherwise hold back for minutes.

    Call this only while no other cluster runs, because the tasks of running clusters would be requeued too and run
    twice.
    """
    return int(OrmQ.objects.filter(lock__gt=now).update(lock=now))


def schedule_every_minute(name: str, task: str) -> None:
    """Let django-q2's scheduler queue `task` every minute. The portal has no other Schedule row."""
    Schedule.objects.update_or_create(
        name=name,
        defaults={
            "func": task,
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
            "args": None,
            "kwargs": None,
            "hook": None,
            "cluster": None,
        },
    )


def prune_history(*, before: datetime, limit: int) -> int:
    """Delete the records of tasks that ended before `before`, at most `limit` per kind. Return the number deleted."""
    deleted = 0
    for kind in (Failure, Success):
        old = kind.objects.filter(stopped__lt=before).order_by("stopped")[:limit]
        ids = list(old.values_list("pk", flat=True))
        deleted += kind.objects.filter(pk__in=ids).delete()[0]
    return deleted
