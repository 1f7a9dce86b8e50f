"""Run a django-q2 cluster that exits instead of hanging, reports its progress, and uses fewer processes.

A worker that is killed while idle may hold the lock of the queue, for which all other workers would then wait forever.
This cluster exits in that case, and the supervisor starts it again. If the sentinel itself waits for the lock of a
killed worker, an alarm signal ends the sentinel. A process whose parent has ended exits as well.

django-q2 runs four processes besides the workers. This cluster runs only the sentinel, which between its checks also
passes tasks to the workers and stores their results. The sentinel uses no thread for this, because it forks. It also
starts one process for the continuous tasks (`core/lib/continuous.py`).
"""

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

from core.jobs.services import TICK, is_hung, queue_due_jobs, release_cluster, report_node
from core.lib import continuous, queue, read_only
from core.lib.continuous import ContinuousProcess
from core.lib.database import keep_one_connection
from core.lib.processes import die_with_parent, freeze_objects, set_process_name

log = logging.getLogger(__name__)

REPORT_INTERVAL_SECONDS = 10.0  # A worker reports at most once in this time, before a task.
CHECK_INTERVAL_SECONDS = 5.0  # The sentinel checks for due jobs and for progress at this interval.
DATABASE_RETRY_SECONDS = 2.0
# An iteration of the sentinel's loop takes one second, or about 40 s while the database is unavailable. A sentinel
# whose iteration takes longer than this is considered stuck.
STUCK_TIMEOUT_SECONDS = 60
# After the cluster is found to be hung, its running tasks have this long to finish.
HUNG_GRACE_SECONDS = 15


class _Flag:
    """A flag that a signal handler can set without blocking. It replaces django-q2's multiprocessing event."""

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


class _StubProcess:
    """A stub that replaces django-q2's monitor and pusher processes."""

    pid = 0

    @staticmethod
    def is_alive() -> bool:
        return True


def _run_worker(*args: Any) -> None:
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_process_name("opsportal work")
    cluster.worker(*args)


class Sentinel(cluster.Sentinel):  # type: ignore[misc]
    """The main process of the cluster. It starts the other processes, and runs until it is stopped or hung."""

    def __init__(self) -> None:
        super().__init__(_Flag(self._transfer_tasks), _Flag(), uuid.uuid4(), start=False)
        # Unlike django-q2's queue, this queue uses no thread. It holds at most
        # one task, because a task in the queue cannot be run by another node.
        self.task_queue: SimpleQueue[Any] = cluster.get_mp_context().SimpleQueue()
        self.monitor = self.pusher = _StubProcess()
        self.continuous = ContinuousProcess(list(continuous.registry))
        self.started_at = timezone.now()
        self.checked_at = time.monotonic()
        self.has_hung = False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._request_stop)

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop_event.set()

    # --- processes ----------------------------------------------------------------------------------

    def spawn_process(self, target: Any, *args: Any) -> Any:
        if target is not cluster.worker:
            return self.monitor
        process = cluster.get_mp_context().Process(target=_run_worker, args=args, daemon=True)
        process.timer = args[2]
        self.pool.append(process)
        process.start()
        return process

    def spawn_cluster(self) -> None:
        super().spawn_cluster()
        self.continuous.start()

    def reincarnate(self, process: Any) -> None:
        is_busy = process.timer.value > 0
        if process.exitcode is not None and process.exitcode < 0 and not is_busy:
            log.critical(
                "an idle worker was killed and may have held a lock; the cluster is restarted",
                extra={"signal": -process.exitcode, "killed_pid": process.pid},
            )
            os._exit(70)
        super().reincarnate(process)

    def stop(self) -> None:
        """Let the workers finish their tasks, then stop them."""
        signal.alarm(HUNG_GRACE_SECONDS if self.has_hung else 0)
        self.continuous.stop()
        for _ in self.pool:
            self.task_queue.put("STOP")
        while any(process.is_alive() for process in self.pool) or self.continuous.is_alive:
            self._collect()
            time.sleep(0.05)
        self._collect()
        Stat(self).save()

    # --- in the sentinel's loop ---------------------------------------------------------------------

    def status(self) -> str:
        """Check the cluster every CHECK_INTERVAL_SECONDS. django-q2 calls this in each iteration of its loop."""
        if read_only.current():
            log.info("the portal is read-only; the cluster finishes its tasks and ends")
            self.stop_event.set()
        if not self.stop_event.is_set():
            signal.alarm(STUCK_TIMEOUT_SECONDS)
            if time.monotonic() - self.checked_at >= CHECK_INTERVAL_SECONDS:
                self.checked_at = time.monotonic()
                self._check(timezone.now())
        return str(super().status())

    def _check(self, now: datetime) -> None:
        try:
            close_old_connections()
            queue_due_jobs(now)
            report_node(now, pid=os.getpid())
            if is_hung(now, since=self.started_at):
                log.critical("tasks are queued but none is started; the cluster is restarted")
                self.has_hung = True
                self.stop_event.set()
        except DatabaseError as error:
            log.warning("the sentinel cannot query the database", extra={"error": str(error)})

    def _transfer_tasks(self, seconds: float) -> None:
        """Pass tasks from the database to the workers, and store results, for `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stop_event.is_set():
            self.continuous.keep_running()
            try:
                self._collect()
                if self.task_queue.empty():
                    self._push()  # _push() sleeps briefly if there is no task.
                else:
                    time.sleep(0.02)
            except DatabaseError as error:
                log.warning(
                    "no tasks are started, because the database is unavailable",
                    extra={"error": str(error)},
                )
                connections.close_all()
                time.sleep(DATABASE_RETRY_SECONDS)

    def _push(self) -> None:
        for ack_id, package in self.broker.dequeue() or ():
            try:
                task = SignedPackage.loads(package)
            except (TypeError, BadSignature):
                log.exception("a task was rejected, because its signature is invalid")
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
    if time.monotonic() - _reported_at < REPORT_INTERVAL_SECONDS:
        return
    try:
        report_node(timezone.now(), has_progressed=True)
    except DatabaseError:
        log.warning("the progress was not reported, because the database is unavailable")
    else:
        _reported_at = time.monotonic()


def run(*, cluster_id: str = "", is_restart: bool = False, workers: int | None = None) -> None:
    """Run a cluster in this process and its children until SIGTERM or SIGINT, or until it hangs.

    Jobs that its workers claim are marked with `cluster_id`. A restart first releases the jobs that the previous
    cluster with this id had claimed. While the portal is read-only, the cluster does not start, and a running one ends.
    Raises SystemExit if the database is unavailable at the start.
    """
    read_only.wait_until_off()
    os.environ["CLUSTER_ID"] = cluster_id or uuid.uuid4().hex[:12]
    if workers:
        cluster.Conf.WORKERS = workers
    keep_one_connection()
    try:
        _prepare(timezone.now(), cluster_to_release=cluster_id if is_restart else "")
    except DatabaseError as error:
        raise SystemExit(f"the worker cannot use the database: {error}") from None
    connection.close()
    # Workers report before each task, not after it. After a task, a worker holds a lock that the sentinel needs, and
    # would never release it if it were killed while it reports.
    pre_execute.connect(_report_progress)
    cluster.Conf.QSIZE = False  # django-q2 must not call qsize(), which SimpleQueue lacks.
    freeze_objects()
    Sentinel().start()


def _prepare(now: datetime, *, cluster_to_release: str) -> None:
    if cluster_to_release:
        release_cluster(now, cluster_id=cluster_to_release)
    report_node(now, pid=os.getpid(), has_started=True)
    # The first tick is queued here, because the scheduler would queue it only after half a minute.
    queue.enqueue(TICK)
