"""One command for a whole node: starts web and worker, keeps them running, ends them cleanly."""

import logging
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from types import FrameType

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from opsportal.jobs import services
from opsportal.jobs.liveness import Watch
from opsportal.lib.processes import Child, stop_all

log = logging.getLogger(__name__)

GRACE = 15.0  # seconds for tasks and requests in flight before force
WATCH_EVERY = 5.0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Supervisor:
    """Keeps children running until SIGINT or SIGTERM; the second one forces.

    Children are started by the main thread only (they die with the thread that started them); the database is asked by
    another one, so that a database that hangs does not keep anybody from ending.
    """

    def __init__(
        self, children: list[Child], worker: Child | None, watches: Sequence[Watch] = ()
    ) -> None:
        self.children = children
        self.worker = worker
        self.watches = watches
        self.stops = 0
        self.start_at: dict[str, float] = {}
        self.cluster_id = ""
        self.cluster_since: datetime = timezone.now()
        self.is_hung = threading.Event()
        self.dead_clusters: list[str] = []

    def run(self, when_ready: Callable[[], bool]) -> int:
        """Returns the exit code: 0 when everything ended by itself after being asked, 1 when it had to be forced."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._asked_to_stop)
        for child in self.children:
            self._start(child)
        if self.worker:
            threading.Thread(target=self._watch, daemon=True, name="watch").start()
        for watch in self.watches:
            watch.start()
        ready = False
        while not self.stops:
            for child in self.children:
                self._keep_running(child)
            if self.is_hung.is_set():
                self._restart_hung_worker()
            for watch in self.watches:
                self._end_hung(watch)
            ready = ready or when_ready()
            time.sleep(0.1)
        return self._end()

    def _start(self, child: Child) -> None:
        if child is self.worker:
            self.cluster_id = uuid.uuid4().hex[:12]
            self.cluster_since = timezone.now()
            child.environment["CLUSTER_ID"] = self.cluster_id
        child.start()

    def _keep_running(self, child: Child) -> None:
        if child.name in self.start_at:
            if time.monotonic() >= self.start_at[child.name]:
                del self.start_at[child.name]
                self._start(child)
            return
        reason = child.ended()
        if reason:
            wait = child.backoff()
            say(f"{child.name} {reason}; starting it again in {wait:.0f} s")
            self.start_at[child.name] = time.monotonic() + wait
            if child is self.worker:
                self.dead_clusters.append(self.cluster_id)

    def _restart_hung_worker(self) -> None:
        assert self.worker is not None
        say("worker: work waits and nothing gets finished; starting it anew")
        stop_all([self.worker], grace=GRACE)
        self.dead_clusters.append(self.cluster_id)
        self._start(self.worker)
        self.is_hung.clear()

    def _end_hung(self, watch: Watch) -> None:
        """`_keep_running` starts it again."""
        hung_pid, watch.hung_pid = watch.hung_pid, 0
        if hung_pid and hung_pid == watch.child.pid and watch.child.ended() is None:
            say(f"{watch.child.name} runs and does not answer; ending it")
            watch.child.kill()

    def _watch(self) -> None:
        while not self.stops:
            try:
                close_old_connections()
                self._look()
            except DatabaseError as error:
                log.warning("the supervisor cannot ask the database", extra={"error": str(error)})
            time.sleep(WATCH_EVERY)
        connections.close_all()

    def _look(self) -> None:
        now = timezone.now()
        while self.dead_clusters:
            services.release_cluster(now, cluster_id=self.dead_clusters[0])
            self.dead_clusters.pop(0)
        services.nudge_due(now)
        if self.worker and self.worker.name not in self.start_at:
            services.note_alive(now, pid=self.worker.pid)
            # A clock that was set makes intervals meaningless; then the next look decides.
            if services.is_hung(now, since=self.cluster_since):
                self.is_hung.set()

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stops += 1
        if self.stops > 1:
            for child in self.children:
                child.kill()

    def _end(self) -> int:
        say("ending: finishing what is in flight (again to force)")
        for watch in self.watches:
            watch.end()
        gently = stop_all(self.children, grace=GRACE)
        say("ended" if gently else "ended by force")
        return 0 if gently else 1
