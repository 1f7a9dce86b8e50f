"""Start the web, store and worker processes of a node, keep them running, and stop them.

The supervisor imports all modules that its children need before it forks them, so that they share the memory of these
modules. The supervisor must never have a thread or a connection. Only its children query the database.
"""

import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from core.lib.processes import Child, stop_all
from opsportal.server.heartbeat import HangDetector

# Running tasks and requests have this long to finish before their process is killed.
GRACE_SECONDS = 15.0
# A hung process has this long to end before it is killed, because some of its threads may still finish.
HUNG_GRACE_SECONDS = 5.0
TICK_SECONDS = 0.1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Supervisor:
    """A supervisor that keeps its children running until SIGINT or SIGTERM. A second signal kills them."""

    def __init__(self, children: Sequence[Child], detector: HangDetector | None = None) -> None:
        self.children = children
        self.detector = detector
        self.stop_signals = 0
        self.start_at: dict[str, float] = {}
        # Maps a hung child that has received SIGTERM to the time at which it is killed.
        self.kill_at: dict[str, float] = {}

    def run(self, greeting: str) -> int:
        """Run the children until a signal stops the supervisor, and return the exit code.

        The exit code is 0 if all children ended after SIGTERM, and 1 if a child had to be killed.
        """
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._asked_to_stop)
        for child in self.children:
            child.start()
        while not self.stop_signals:
            for child in self.children:
                self._keep_running(child)
            if self.detector:
                self._end_hung(self.detector)
            if greeting and (self.detector is None or self.detector.is_up):
                say(greeting)
                greeting = ""
            time.sleep(TICK_SECONDS)
        return self._end()

    def _keep_running(self, child: Child) -> None:
        if child.name in self.start_at:
            if time.monotonic() >= self.start_at[child.name]:
                del self.start_at[child.name]
                child.start()
            return
        reason = child.exit_reason()
        if reason:
            self.kill_at.pop(child.name, None)
            wait = child.next_backoff_seconds()
            say(f"{child.name} {reason}; it restarts" + (f" in {wait:.0f} s" if wait else ""))
            self.start_at[child.name] = time.monotonic() + wait

    def _end_hung(self, detector: HangDetector) -> None:
        """Send SIGTERM to a hung child, and kill it after a grace period. `_keep_running` starts it again."""
        child = detector.child
        if child.name in self.start_at or child.exit_reason() is not None:
            return
        if child.name in self.kill_at:
            if time.monotonic() >= self.kill_at[child.name]:
                child.kill()
            return
        reason = detector.hang()
        if reason:
            say(f"{child.name} hangs: {reason}; stopping it")
            child.terminate()
            self.kill_at[child.name] = time.monotonic() + HUNG_GRACE_SECONDS

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop_signals += 1
        if self.stop_signals > 1:
            for child in self.children:
                child.kill()

    def _end(self) -> int:
        say(
            "stopping when running requests and tasks have finished (send the signal again to stop now)"
        )
        ended_gracefully = stop_all(self.children, grace_seconds=GRACE_SECONDS)
        say("stopped" if ended_gracefully else "stopped by force")
        return 0 if ended_gracefully else 1
