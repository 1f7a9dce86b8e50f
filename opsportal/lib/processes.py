"""Child processes that end with us, whatever happens to us."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(signum: int) -> None:
    """Have the kernel send us `signum` when the thread that made this process ends. Linux only; elsewhere nothing."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


# Popen's preexec_fn could say this too, but may deadlock in a process with threads.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the supervisor is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal reaches only us, and we can end all of it."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0

    def start(self) -> None:
        """Call it from the main thread only: the child ends with the thread that started it."""
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            [*launcher, *self.command],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def ended(self) -> str | None:
        """None while it runs; otherwise how it ended, for people. What it left behind of its session is killed."""
        if self.process is None or self.process.poll() is None:
            return None
        self._kill_session()
        code = self.process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def terminate(self) -> None:
        """Ask the main process only: django-q2 hangs when its whole group is asked."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        self._kill_session()
        if self.process:
            self.process.wait()

    def backoff(self) -> float:
        """How long to wait before starting it again: 1 s, doubling to 30 s while it lives less than 15 s."""
        lived = time.monotonic() - self.started_at
        self.failures = self.failures + 1 if lived < 15 else 1
        return float(min(2 ** (self.failures - 1), 30))

    def _kill_session(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def in_a_child(work: Callable[..., T], **arguments: object) -> T:
    """What `work` returns or raises, done in a process of its own: the memory it takes ends with that process.

    Call it before there are threads or connections.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, **arguments).result()


def stop_all(children: Sequence[Child], grace: float) -> bool:
    """End them within `grace` seconds, then by force. True when force was not needed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace
    while any(child.process and child.process.poll() is None for child in children):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    gently = all(child.process is None or child.process.poll() is not None for child in children)
    for child in children:
        child.kill()
    return gently
