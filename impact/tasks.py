"""Define the tasks that update affected orders, continue erasures and delete old references."""

import time

from django.db import close_old_connections
from django.utils import timezone

from core.lib.continuous import Control, continuous
from core.lib.schedules import daily, every
from impact.services import catch_up, erasure, restored_erasures

INTERVAL_SECONDS = 2.0


@continuous
def add_up_orders(control: Control) -> None:
    """Update orders and their links to problems within seconds of each change."""
    while not control.is_stopping:
        if not catch_up.catch_up(seconds=catch_up.TASK_SECONDS, is_paused=True):
            # A call can fail because the database is unavailable, so reconnect before the next one.
            close_old_connections()
        control.report_progress()
        time.sleep(INTERVAL_SECONDS)


@every(minutes=1, title="Continue erasures")
def continue_erasures() -> dict[str, int]:
    """Continue the erasures of persons, and write the finished erasures to the file beside the backups."""
    finished_count = erasure.continue_erasures(now=timezone.now())
    return {"finished": finished_count, "noted": restored_erasures.keep_beside_backups()}


@daily(hour=2, minute=50, title="Delete old links to orders")
def prune() -> dict[str, int]:
    """Delete stored references that are too old to link new orders."""
    return {"references": catch_up.prune(now=timezone.now())}
