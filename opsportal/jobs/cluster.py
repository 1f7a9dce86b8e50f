"""django-q2's cluster, made to end rather than hang, and to report what it does.

What it does not do by itself: a worker killed while idle takes the queue's lock with it, and all others then wait for
ever; here the cluster ends at once, for the supervisor to start it anew. A sentinel that gets stuck (on the lock
of a worker killed at the wrong instant) is ended by the kernel. And whoever outlives its parent ends too, so that no orphan works
on unguarded.
"""

import gc
import logging
import os
import signal
import time
from typing import Any

from django.db import DatabaseError, connection
from django.utils import timezone
from django_q import cluster
from django_q.signals import pre_execute

from opsportal.jobs.services import TICK, note_alive
from opsportal.lib import queue
from opsportal.lib.database import keep_one_connection
from opsportal.lib.processes import die_with_parent

log = logging.getLogger(__name__)

REPORT_EVERY = 10.0  # seconds between a worker process's reports of progress
STUCK = (
    60  # seconds; the sentinel goes round once a second, a database that is away costs it about 20
)


def _guarded(target: Any, *args: Any) -> None:
    die_with_parent(signal.SIGKILL)
    target(*args)


class Sentinel(cluster.Sentinel):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        die_with_parent(signal.SIGKILL)
        super().__init__(*args, **kwargs)

    def spawn_process(self, target: Any, *args: Any) -> Any:
        process = cluster.get_mp_context().Process(target=_guarded, args=(target, *args))
        process.daemon = True
        if target is cluster.worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return process

    def status(self) -> str:
        signal.alarm(0 if self.stop_event.is_set() else STUCK)  # asked for once a round
        return str(super().status())

    def reincarnate(self, process: Any) -> None:
        busy = process in self.pool and process.timer.value > 0
        if process.exitcode is not None and process.exitcode < 0 and not busy:
            log.critical(
                "a process of the worker cluster was killed and may have held a lock; starting the cluster anew",
                extra={"signal": -process.exitcode, "killed_pid": process.pid},
            )
            os._exit(70)
        super().reincarnate(process)


_reported_at = 0.0


def _report_progress(**_: Any) -> None:
    global _reported_at
    if time.monotonic() - _reported_at < REPORT_EVERY:
        return
    try:
        note_alive(timezone.now(), progressed=True)
    except DatabaseError:
        log.warning("progress not reported: the database is away")
    else:
        _reported_at = time.monotonic()


def run() -> None:
    """Run a cluster until SIGTERM or SIGINT, in this process and its children."""
    keep_one_connection()
    try:
        note_alive(timezone.now(), pid=os.getpid(), started=True)
        queue.enqueue(TICK)  # the scheduler's first comes after half a minute
    except DatabaseError as error:
        raise SystemExit(f"the worker cannot use the database: {error}") from None
    connection.close()
    # Not after the task: then the worker holds a lock that the sentinel waits for, and could be killed with it.
    pre_execute.connect(_report_progress)
    cluster.Sentinel = Sentinel
    # The processes share what was imported until something writes to it, and each garbage collection would.
    gc.collect()
    gc.freeze()
    cluster.Cluster().start()
