"""Run urgent jobs. Their continuous task polls the database instead of the queue, which slow tasks may occupy."""

import logging
import os
import time
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from core.jobs.models import Job
from core.jobs.running import run_job
from core.lib import schedules
from core.lib.continuous import Control

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
DATABASE_RETRY_SECONDS = 2.0


def run(control: Control) -> None:
    """Run urgent jobs when they are due, until the process is stopped."""
    is_released = False
    while not control.is_stopping:
        control.report_progress()
        try:
            close_old_connections()
            if not is_released:
                release_own(now=timezone.now())
                is_released = True
            run_due(control, now=timezone.now())
        except DatabaseError as error:
            log.warning(
                "no urgent jobs are started, because the database is unavailable",
                extra={"error": str(error)},
            )
            connections.close_all()
            time.sleep(DATABASE_RETRY_SECONDS)
        time.sleep(POLL_SECONDS)


def run_due(control: Control, *, now: datetime) -> list[str]:
    """Run the urgent jobs that are due, one after another, and return their names."""
    due = Job.objects.due(now).filter(name__in=_urgent_names()).order_by("next_run_at", "name")
    done = []
    for name in due.values_list("name", flat=True):
        if control.is_stopping:
            break
        if run_job(name, now) is not None:
            done.append(name)
        control.report_progress()
    return done


def release_own(*, now: datetime) -> None:
    """End the leases of urgent jobs that this node's previous process was running when it ended."""
    owner = f"{os.environ.get('CLUSTER_ID', '')}:"
    Job.objects.filter(name__in=_urgent_names(), owner__startswith=owner).update(
        lease_until=now - timedelta(seconds=1), nudged_at=None
    )


def _urgent_names() -> list[str]:
    return [scheduled.name for scheduled in schedules.registry if scheduled.is_urgent]
