"""Whether a child that runs also answers: a process may hang without dying."""

import threading
import time
from collections import deque
from collections.abc import Callable

from opsportal.lib.processes import Child

EVERY = 5.0  # seconds
SOON = 1.0  # after a failure
TIMEOUT = 5.0  # of one question: a busy process answers late, one that hangs never does
MOST_FAILURES = 3
# Of so many: with several processes behind one port, only some of the probes meet the one that hangs.
OF_THE_LAST = 6
MAY_START_FOR = 180.0


class Watch(threading.Thread):
    """Names the process that has failed to answer. The main thread ends it, and starts another as always."""

    def __init__(self, child: Child, answers: Callable[[], bool]) -> None:
        super().__init__(daemon=True, name=f"watch {child.name}")
        self.child = child
        self.answers = answers
        self.hung_pid = 0
        self._ending = threading.Event()

    def end(self) -> None:
        self._ending.set()

    def run(self) -> None:
        pid, has_answered = 0, False
        outcomes: deque[bool] = deque(maxlen=OF_THE_LAST)
        answered = True
        while not self._ending.wait(EVERY if answered else SOON):
            answered = self.answers()
            if self.child.pid != pid:  # another process than before
                pid, has_answered = self.child.pid, False
                outcomes.clear()
            has_answered = has_answered or answered
            if has_answered or time.monotonic() - self.child.started_at > MAY_START_FOR:
                outcomes.append(answered)
            if outcomes.count(False) >= MOST_FAILURES:
                outcomes.clear()
                self.hung_pid = pid
