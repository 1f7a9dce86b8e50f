"""One run of a job: claimed with one conditional UPDATE, finished only by who still holds it."""

import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from time import sleep

from django.conf import settings
from django.db import OperationalError, close_old_connections, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from opsportal.jobs.models import Job, JobRun, Outcome
from opsportal.lib import schedules

log = logging.getLogger(__name__)

LEASE_GRACE = timedelta(seconds=10)  # between a run's time limit and its being taken for dead
RESULT_LENGTH = 1000


@dataclass(frozen=True)
class Claim:
    job_id: int
    run_id: int
    token: str
    task: Callable[[], object]


@transaction.atomic
def claim(name: str, now: datetime) -> Claim | None:
    """Take a due job for this worker, or None: not due, somebody else's, switched off, or not in this node's code."""
    if name not in schedules.registry:
        return None
    job = Job.objects.due(now).filter(name=name).first()
    if job is None:
        return None
    scheduled = schedules.registry.get(name)
    token = f"{os.environ.get('CLUSTER_ID', '')}:{uuid.uuid4().hex}"
    took = (
        Job.objects.due(now)
        .filter(pk=job.pk, owner=job.owner, next_run_at=job.next_run_at)
        .update(
            owner=token,
            lease_until=now + scheduled.timeout + LEASE_GRACE,
            next_run_at=scheduled.next_after(now),
            nudged_at=None,
            last_started_at=now,
            last_outcome=Outcome.RUNNING,
        )
    )
    if not took:
        return None
    lost = JobRun.objects.filter(job=job, finished_at=None)
    if lost.update(finished_at=now, outcome=Outcome.LOST):
        log.warning("a run was lost with its worker and starts again", extra={"job": name})
    run = JobRun.objects.create(job=job, started_at=now, node=settings.INSTANCE[:100])
    return Claim(job.pk, run.pk, token, import_string(name))


def run_job(name: str, now: datetime) -> Outcome | None:
    """Claim and run a due job, and record how it went. None when there was nothing to claim.

    A run that reaches its time limit is recorded as failed, and the limit's exception goes on to the worker.
    """
    claimed = claim(name, now)
    if claimed is None:
        return None
    try:
        result = claimed.task()
    except Exception as error:
        log.exception("job failed", extra={"job": name})
        return _finish(claimed, Outcome.FAILED, _without_data(error))
    except SystemExit:  # django-q2's TimeoutException is one
        _finish(claimed, Outcome.FAILED, "took longer than it may")
        raise
    return _finish(claimed, Outcome.SUCCEEDED, _in_words(result))


def _in_words(result: object) -> str:
    """What a task returned, for the history: `{"opened": 2}` reads "2 opened"."""
    if isinstance(result, Mapping):
        return ", ".join(f"{value} {_word(key)}" for key, value in result.items())
    return "" if result is None else str(result)


def _word(key: object) -> str:
    return str(key.value if isinstance(key, Enum) else key).replace("_", " ")


def _without_data(error: Exception) -> str:
    """The error's type and place: its text may quote personal data, and is in the error log, scrubbed."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f" in {place.tb_frame.f_code.co_qualname}, line {place.tb_lineno}" if place else ""
    return f"{type(error).__name__}{where}"


def _finish(claimed: Claim, outcome: Outcome, result: str, attempts: int = 5) -> Outcome:
    """Record the end, unless the lease ran out and the job is somebody else's by now."""
    for left in reversed(range(attempts)):
        try:
            with transaction.atomic():
                now = timezone.now()
                JobRun.objects.filter(pk=claimed.run_id, finished_at=None).update(
                    finished_at=now, outcome=outcome, result=result[:RESULT_LENGTH]
                )
                Job.objects.filter(pk=claimed.job_id, owner=claimed.token).update(
                    owner="",
                    lease_until=None,
                    last_finished_at=now,
                    last_outcome=outcome,
                )
        except OperationalError:  # the database went away while the job ran
            if not left:
                raise
            close_old_connections()
            sleep(1)
        else:
            return outcome
    raise AssertionError("unreachable")
