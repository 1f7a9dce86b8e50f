"""Run a job: claim it with one conditional UPDATE, and record its end only if the worker still holds the claim."""

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

from core.jobs.models import Job, JobRun, Outcome
from core.lib import schedules

log = logging.getLogger(__name__)

# A run is considered lost when it exceeds its time limit by more than this.
LEASE_GRACE = timedelta(seconds=10)
MAX_RESULT_LENGTH = 1000


@dataclass(frozen=True)
class Claim:
    job_id: int
    run_id: int
    token: str
    task: Callable[[], object]


@transaction.atomic
def claim(name: str, now: datetime) -> Claim | None:
    """Claim a due job for this worker.

    Return None if the job is not due, claimed by another worker, disabled, or missing in this node's code.
    """
    if name not in schedules.registry:
        return None
    job = Job.objects.due(now).filter(name=name).first()
    if job is None:
        return None
    scheduled = schedules.registry.get(name)
    token = f"{os.environ.get('CLUSTER_ID', '')}:{uuid.uuid4().hex}"
    is_claimed = (
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
    if not is_claimed:
        return None
    lost = JobRun.objects.filter(job=job, finished_at=None)
    if lost.update(finished_at=now, outcome=Outcome.LOST):
        log.warning(
            "a run was lost, because its worker ended; the job is started again",
            extra={"job": name},
        )
    run = JobRun.objects.create(job=job, started_at=now, node=settings.INSTANCE[:100])
    return Claim(job.pk, run.pk, token, import_string(name))


def run_job(name: str, now: datetime) -> Outcome | None:
    """Claim and run a due job, and record the outcome. Return None if the job could not be claimed.

    A run that exceeds its time limit is recorded as failed, and SystemExit is raised to end the worker.
    """
    claimed = claim(name, now)
    if claimed is None:
        return None
    try:
        result = claimed.task()
    except Exception as error:
        log.exception("job failed", extra={"job": name})
        return _finish(claimed, Outcome.FAILED, _describe_error(error))
    except SystemExit:  # SystemExit is the base class of django-q2's TimeoutException.
        _finish(claimed, Outcome.FAILED, "exceeded its time limit")
        raise
    return _finish(claimed, Outcome.SUCCEEDED, _format_result(result))


def _format_result(result: object) -> str:
    """Format the return value of a task for the history: `{"opened": 2}` becomes "2 opened"."""
    if isinstance(result, Mapping):
        return ", ".join(f"{value} {_format_key(key)}" for key, value in result.items())
    return "" if result is None else str(result)


def _format_key(key: object) -> str:
    return str(key.value if isinstance(key, Enum) else key).replace("_", " ")


def _describe_error(error: Exception) -> str:
    """Return the type and location of an error, without its message, which may contain personal data.

    The scrubbed message is in the log.
    """
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    location = f" in {frame.tb_frame.f_code.co_qualname}, line {frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__}{location}"


def _finish(claimed: Claim, outcome: Outcome, result: str, attempts: int = 5) -> Outcome:
    """Record the end of a run, unless its lease expired and another worker has claimed the job."""
    for left in reversed(range(attempts)):
        try:
            with transaction.atomic():
                now = timezone.now()
                JobRun.objects.filter(pk=claimed.run_id, finished_at=None).update(
                    finished_at=now, outcome=outcome, result=result[:MAX_RESULT_LENGTH]
                )
                Job.objects.filter(pk=claimed.job_id, owner=claimed.token).update(
                    owner="",
                    lease_until=None,
                    last_finished_at=now,
                    last_outcome=outcome,
                )
        except OperationalError:  # The connection may have been lost while the job ran.
            if not left:
                raise
            close_old_connections()
            sleep(1)
        else:
            return outcome
    raise AssertionError("unreachable")
