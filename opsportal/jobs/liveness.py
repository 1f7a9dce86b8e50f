"""Whether a child that runs also answers: a process may hang without dying."""

import socket
import time
from collections import deque

from opsportal.lib.processes import Child

EVERY = 5.0  # seconds
SOON = 1.0  # after a failure
TIMEOUT = 5.0  # of one question: a busy process answers late, one that hangs never does
MOST_FAILURES = 3
# Of so many: with several processes behind one port, only some of the probes meet the one that hangs.
OF_THE_LAST = 6
MAY_START_FOR = 180.0


class Probe:
    """One question to a web server. Who asks never waits, and needs no thread beside which it could not fork."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._until = time.monotonic() + timeout
        self._is_asked = False
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setblocking(False)
        self._failed = False
        try:
            self._socket.connect((host, port))
        except BlockingIOError:
            pass
        except OSError:
            self._failed = True

    def outcome(self) -> bool | None:
        """Whether it answered, whatever it said; None while nobody can tell."""
        answered = self._look()
        if answered is not None:
            self._socket.close()
        return answered

    def _look(self) -> bool | None:
        if self._failed:
            return False
        try:
            if not self._is_asked:
                self._socket.sendall(
                    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                self._is_asked = True
            return bool(self._socket.recv(1))
        except BlockingIOError:
            return None if time.monotonic() < self._until else False
        except OSError:
            return False


class Watch:
    """Finds the process that has failed to answer. `look` at it several times a second."""

    def __init__(self, child: Child, host: str, port: int) -> None:
        self.child = child
        self.address = host, port
        self.has_answered = False  # this process of the child's, ever
        self._pid = 0
        self._probe: Probe | None = None
        self._probe_at = 0.0
        self._outcomes: deque[bool] = deque(maxlen=OF_THE_LAST)

    def look(self) -> bool:
        """Whether the child hangs; said once. It is for the caller to end it."""
        if self.child.pid != self._pid:  # another process than before
            self._pid, self.has_answered = self.child.pid, False
            self._outcomes.clear()
        if self._probe is None:
            if time.monotonic() >= self._probe_at:
                self._probe = Probe(*self.address, TIMEOUT)
            return False
        answered = self._probe.outcome()
        if answered is None:
            return False
        self._probe = None
        self.has_answered = self.has_answered or answered
        is_starting = time.monotonic() - self.child.started_at <= MAY_START_FOR
        if not self.has_answered and is_starting:
            return False
        self._probe_at = time.monotonic() + (EVERY if answered else SOON)
        self._outcomes.append(answered)
        is_hung = self._outcomes.count(False) >= MOST_FAILURES
        if is_hung:
            self._outcomes.clear()
        return is_hung
