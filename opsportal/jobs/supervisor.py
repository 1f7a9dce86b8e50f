"""One command for a whole node: starts web and worker, keeps them running, ends them cleanly.

It has loaded all that they need before it forks them, so that what all use is in the memory once. Hence it has no threads
and no connections, ever: asking the database is the worker's own business (`opsportal.jobs.guard`).
"""

import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from opsportal.jobs.liveness import Watch
from opsportal.lib.processes import Child, stop_all

GRACE = 15.0  # seconds for tasks and requests in flight before force


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Supervisor:
    """Keeps children running until SIGINT or SIGTERM; the second one forces."""

    def __init__(self, children: Sequence[Child], watch: Watch | None = None) -> None:
        self.children = children
        self.watch = watch
        self.stops = 0
        self.start_at: dict[str, float] = {}

    def run(self, greeting: str) -> int:
        """Returns the exit code: 0 when everything ended by itself after being asked, 1 when it had to be forced."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._asked_to_stop)
        for child in self.children:
            child.start()
        while not self.stops:
            for child in self.children:
                self._keep_running(child)
            if self.watch and self.watch.look():
                self._end_hung(self.watch.child)
            if greeting and (self.watch is None or self.watch.has_answered):
                say(greeting)
                greeting = ""
            time.sleep(0.1)
        return self._end()

    def _keep_running(self, child: Child) -> None:
        if child.name in self.start_at:
            if time.monotonic() >= self.start_at[child.name]:
                del self.start_at[child.name]
                child.start()
            return
        reason = child.ended()
        if reason:
            wait = child.backoff()
            say(f"{child.name} {reason}; starting it again in {wait:.0f} s")
            self.start_at[child.name] = time.monotonic() + wait

    def _end_hung(self, child: Child) -> None:
        """`_keep_running` starts it again."""
        if child.ended() is None:
            say(f"{child.name} runs and does not answer; ending it")
            child.kill()

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stops += 1
        if self.stops > 1:
            for child in self.children:
                child.kill()

    def _end(self) -> int:
        say("ending: finishing what is in flight (again to force)")
        gently = stop_all(self.children, grace=GRACE)
        say("ended" if gently else "ended by force")
        return 0 if gently else 1
