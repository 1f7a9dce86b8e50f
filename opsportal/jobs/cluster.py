"""django-q2's cluster, made to end rather than hang, to report what it does, and to be few processes.

What it does not do by itself: a worker killed while idle takes the queue's lock with it, and all others then wait for
ever; here the cluster ends at once, for the supervisor to start it anew. A sentinel that gets stuck (on the lock
of a worker killed at the wrong instant) is ended by the kernel. And whoever outlives its parent ends too, so that no orphan works
on unguarded.

django-q2 has four processes beside the workers, of ten megabytes each. Here is one, the sentinel: between its rounds it
hands tasks to the workers and writes down what came of them, without a thread, because it forks.
"""

import gc
import logging
import os
import queue as queues
import signal
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from multiprocessing.queues import SimpleQueue
from types import FrameType
from typing import Any

from django.db import DatabaseError, close_old_connections, connection, connections
from django.utils import timezone
from django_q import cluster
from django_q.monitor import save_task
from django_q.signals import pre_execute
from django_q.signing import BadSignature, SignedPackage
from django_q.status import Stat

from opsportal.jobs.services import TICK, is_hung, note_alive, nudge_due, release_cluster
from opsportal.lib import queue
from opsportal.lib.database import keep_one_connection
from opsportal.lib.processes import die_with_parent, set_process_name

log = logging.getLogger(__name__)

REPORT_EVERY = 10.0  # seconds between a worker process's reports of progress
LOOK_EVERY = 5.0  # seconds between the sentinel's looks at what is due and whether anything goes on
WHEN_AWAY = 2.0  # seconds until the database is asked again
STUCK = (
    60  # seconds; the sentinel goes round once a second, a database that is away costs it about 40
)
GRACE = 15  # seconds for what still runs when the cluster hangs


class _Flag:
    """What django-q2 has events for, which are for several processes: this one is set by a signal, and must not wait."""

    def __init__(self, wait: Callable[[float], None] = time.sleep) -> None:
        self._is_set = False
        self._wait = wait

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, seconds: float) -> bool:
        self._wait(seconds)
        return self._is_set


class _Itself:
    """Stands where django-q2 has the processes of its monitor and its pusher."""

    pid = 0

    @staticmethod
    def is_alive() -> bool:
        return True


def _work(*args: Any) -> None:
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_process_name("opsportal work")
    cluster.worker(*args)


class Sentinel(cluster.Sentinel):  # type: ignore[misc]
    """Runs the cluster, in this process and its children, until SIGTERM or SIGINT."""

    def __init__(self) -> None:
        super().__init__(_Flag(self._carry), _Flag(), uuid.uuid4(), start=False)
        # Holds one task at most: more would be held back from other nodes. Without a thread, unlike django-q2's.
        self.task_queue: SimpleQueue[Any] = cluster.get_mp_context().SimpleQueue()
        self.monitor = self.pusher = _Itself()
        self.since = timezone.now()
        self.looked_at = time.monotonic()
        self.hangs = False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._asked_to_stop)

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop_event.set()

    # --- processes ----------------------------------------------------------------------------------

    def spawn_process(self, target: Any, *args: Any) -> Any:
        if target is not cluster.worker:
            return self.monitor
        process = cluster.get_mp_context().Process(target=_work, args=args, daemon=True)
        process.timer = args[2]
        self.pool.append(process)
        process.start()
        return process

    def reincarnate(self, process: Any) -> None:
        busy = process.timer.value > 0
        if process.exitcode is not None and process.exitcode < 0 and not busy:
            log.critical(
                "a process of the worker cluster was killed and may have held a lock; starting the cluster anew",
                extra={"signal": -process.exitcode, "killed_pid": process.pid},
            )
            os._exit(70)
        super().reincarnate(process)

    def stop(self) -> None:
        """Let the workers finish what they have."""
        signal.alarm(GRACE if self.hangs else 0)
        for _ in self.pool:
            self.task_queue.put("STOP")
        while any(process.is_alive() for process in self.pool):
            self._collect()
            time.sleep(0.05)
        self._collect()
        Stat(self).save()

    # --- between the rounds -------------------------------------------------------------------------

    def status(self) -> str:
        """Asked for once a round."""
        if not self.stop_event.is_set():
            signal.alarm(STUCK)
            if time.monotonic() - self.looked_at >= LOOK_EVERY:
                self.looked_at = time.monotonic()
                self._look(timezone.now())
        return str(super().status())

    def _look(self, now: datetime) -> None:
        try:
            close_old_connections()
            nudge_due(now)
            note_alive(now, pid=os.getpid())
            # A clock that was set makes intervals meaningless; then the next look decides.
            if is_hung(now, since=self.since):
                log.critical("work waits and nothing gets finished; starting the cluster anew")
                self.hangs = True
                self.stop_event.set()
        except DatabaseError as error:
            log.warning("the sentinel cannot ask the database", extra={"error": str(error)})

    def _carry(self, seconds: float) -> None:
        """Carry tasks from the database to the workers and back, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stop_event.is_set():
            try:
                self._collect()
                if self.task_queue.empty():
                    self._push()  # waits a moment where there is none
                else:
                    time.sleep(0.02)
            except DatabaseError as error:
                log.warning("no tasks: the database is away", extra={"error": str(error)})
                connections.close_all()
                time.sleep(WHEN_AWAY)

    def _push(self) -> None:
        for ack_id, package in self.broker.dequeue() or ():
            try:
                task = SignedPackage.loads(package)
            except (TypeError, BadSignature):
                log.exception("a task that nobody here signed")
                self.broker.fail(ack_id)
                continue
            self.task_queue.put({**task, "ack_id": ack_id, "cluster": cluster.Conf.CLUSTER_NAME})

    def _collect(self) -> None:
        while True:
            try:
                task = self.result_queue.get_nowait()
            except queues.Empty:
                return
            save_task(task, self.broker)
            self.broker.acknowledge(task["ack_id"])
            if not task["success"]:
                log.error("task failed", extra={"task": task["name"], "error": task["result"]})


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


def run(*, cluster_id: str = "", is_restart: bool = False, workers: int | None = None) -> None:
    """Run a cluster until SIGTERM or SIGINT, in this process and its children.

    `cluster_id` is what its job owners carry; a restart first hands back what the one before it had taken.
    """
    if cluster_id:
        os.environ["CLUSTER_ID"] = cluster_id
    if workers:
        cluster.Conf.WORKERS = workers
    keep_one_connection()
    try:
        _begin(timezone.now(), released=cluster_id if is_restart else "")
    except DatabaseError as error:
        raise SystemExit(f"the worker cannot use the database: {error}") from None
    connection.close()
    # Not after the task: then the worker holds a lock that the sentinel waits for, and could be killed with it.
    pre_execute.connect(_report_progress)
    cluster.Conf.QSIZE = False  # our queue does not count itself
    # The processes share what was imported until something writes to it, and each garbage collection would.
    gc.collect()
    gc.freeze()
    Sentinel().start()


def _begin(now: datetime, *, released: str) -> None:
    if released:
        release_cluster(now, cluster_id=released)
    note_alive(now, pid=os.getpid(), started=True)
    queue.enqueue(TICK)  # the scheduler's first comes after half a minute
