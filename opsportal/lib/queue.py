"""The queue is a nudge; the row is the truth. With `opsportal/jobs/cluster.py` the only file that knows django-q2."""

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

from opsportal.lib import request_id
from opsportal.lib.durability import quick_commit

log = logging.getLogger(__name__)


def enqueue(task: str, **ids: int | str) -> None:
    """Run `task` (a dotted path) in a worker once the current transaction has committed.

    Feed it ids only. A nudge can be lost or come twice: a scheduled sweep must pick up what was left behind.
    """
    enqueue_for(timedelta(seconds=settings.Q_CLUSTER["timeout"]), task, **ids)


def enqueue_for(timeout: timedelta, task: str, **ids: int | str) -> None:
    """`enqueue` for a task with a time limit of its own."""
    carried = request_id.current()
    options = {"task_name": task[:100], "timeout": int(timeout.total_seconds())}

    def put() -> None:
        try:
            # In a transaction, because out of one django-q2's broker closes this thread's connection.
            with quick_commit():
                async_task("opsportal.lib.queue.run", task, carried, ids, q_options=options)
        except Exception:
            # The row is committed; the sweep will find it. Losing the nudge must not fail the request.
            log.exception("nudge lost", extra={"task": task})

    transaction.on_commit(put)


def run(task: str, carried_request_id: str, ids: dict[str, Any]) -> object:
    """What a worker calls: the task under the request id of the request that asked for it."""
    with request_id.use(carried_request_id):
        return import_string(task)(**ids)


@dataclass(frozen=True)
class Waiting:
    """Nudges that no worker has taken yet."""

    count: int
    oldest_seconds: float  # 0 when none waits


def waiting(now: datetime) -> Waiting:
    # The ORM broker's `lock` is the time of queueing until a worker takes the row, then a time ahead.
    found = OrmQ.objects.filter(lock__lte=now).aggregate(count=Count("pk"), oldest=Min("lock"))
    oldest = (now - found["oldest"]).total_seconds() if found["oldest"] else 0.0
    return Waiting(found["count"], oldest)


def release_taken(now: datetime) -> int:
    """Hand back what a cluster had taken when it was killed, which the broker would hold back for minutes.

    Only while no other cluster works, as it would be handed theirs too (harmless, but twice the work).
    """
    return int(OrmQ.objects.filter(lock__gt=now).update(lock=now))


def keep_ticking(name: str, task: str) -> None:
    """Have django-q2's scheduler queue `task` each minute. The one Schedule row there is."""
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
    """Forget what workers recorded before an instant; at most `limit` rows of a kind. Returns how many went."""
    gone = 0
    for kind in (Failure, Success):
        old = kind.objects.filter(stopped__lt=before).order_by("stopped")[:limit]
        ids = list(old.values_list("pk", flat=True))
        gone += kind.objects.filter(pk__in=ids).delete()[0]
    return gone
