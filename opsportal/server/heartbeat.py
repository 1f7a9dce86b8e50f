"""Report a web process's progress to the supervisor through shared memory.

The heartbeat needs neither a connection nor a thread of the web process, so overload is not mistaken for a hang.
"""

import mmap
import struct
import time
from typing import ClassVar

from core.lib.processes import Child

LOOP_TIMEOUT_SECONDS = 15.0
# Longer than the timeouts of ordinary requests, such as the 20 s for which SQLite waits for its lock.
THREADS_TIMEOUT_SECONDS = 24.0
START_TIMEOUT_SECONDS = 180.0


class Heartbeat:
    """Two values of time.monotonic(): when the event loop last ran, and when the threads last made progress.

    The heartbeat must be created before the process that calls `beat` is forked.
    """

    INTERVAL_SECONDS: ClassVar = 0.5
    _FORMAT = struct.Struct("dd")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORMAT.size)

    def beat(self, *, threads: bool) -> None:
        """Record that the event loop runs and, if `threads` is set, that requests are being answered."""
        now = time.monotonic()
        _, threads_at = self.read()
        self._FORMAT.pack_into(self._memory, 0, now, now if threads else threads_at)

    def read(self) -> tuple[float, float]:
        """Return the times (loop, threads) of the last progress, which are 0 before the first beat."""
        loop_at, threads_at = self._FORMAT.unpack_from(self._memory)
        return loop_at, threads_at

    def clear(self) -> None:
        self._FORMAT.pack_into(self._memory, 0, 0.0, 0.0)


class HangDetector:
    """A detector that finds out if a child has stopped making progress."""

    def __init__(self, child: Child, heartbeat: Heartbeat) -> None:
        self.child = child
        self._heartbeat = heartbeat
        self._pid = 0

    @property
    def is_up(self) -> bool:
        """Return True if the child has sent a heartbeat since its start."""
        loop_at, _ = self._heartbeat.read()
        return self._pid == self.child.pid and loop_at > 0

    def hang(self) -> str:
        """Return the reason why the child is considered hung, or "" while it makes progress or is not running."""
        if self.child.pid != self._pid:
            self._pid = self.child.pid
            self._heartbeat.clear()
        now = time.monotonic()
        loop_at, threads_at = self._heartbeat.read()
        if not loop_at:
            is_late = now - self.child.started_at > START_TIMEOUT_SECONDS
            return f"it did not start within {START_TIMEOUT_SECONDS:.0f} s" if is_late else ""
        if now - loop_at > LOOP_TIMEOUT_SECONDS:
            return f"its event loop has not run for {now - loop_at:.0f} s"
        if now - threads_at > THREADS_TIMEOUT_SECONDS:
            return f"requests are waiting, and none has been answered for {now - threads_at:.0f} s"
        return ""
