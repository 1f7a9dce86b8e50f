"""Child processes that end with their parent and share the memory that it had loaded when they were forked.

The parent must have no thread and no connection: a lock held by a thread would stay locked in the child, and two
processes would talk on one connection.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_fork = multiprocessing.get_context("fork")
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def die_with_parent(signum: int) -> None:
    """Have the kernel send us `signum` when the thread that made this process ends. Linux only; elsewhere nothing."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


def set_process_name(name: str) -> None:
    """Set the name that `ps -o comm` and `top` show, at most 15 characters. Linux only."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


@dataclass
class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal reaches only us, and we can end all of it."""

    name: str
    work: Callable[[], object]
    process: BaseProcess | None = None
    started_at: float = 0.0
    start_count: int = 0
    failure_count: int = 0

    def start(self) -> None:
        """Call it from the main thread only: the child ends with the thread that started it."""
        self.start_count += 1
        self.process = _fork.Process(target=self._run, args=(os.getpid(),), name=self.name)
        # Until the child has our handlers no more, a signal that tells it to end would be lost in them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.started_at = time.monotonic()

    def _run(self, parent: int) -> None:
        os.setsid()
        die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the supervisor is gone")
        for signum in _END_SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        self.work()

    @property
    def pid(self) -> int:
        return (self.process.pid or 0) if self.process else 0

    def exit_reason(self) -> str | None:
        """None while it runs; otherwise how it ended, for people. What it left behind of its session is killed."""
        code = self.process.exitcode if self.process else None
        if code is None:
            return None
        self._kill_session()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def terminate(self) -> None:
        """Ask the main process only, which lets its own children finish what they do."""
        if self.process:
            self.process.terminate()

    def kill(self) -> None:
        self._kill_session()
        if self.process:
            self.process.kill()  # in its first instant it has no session yet
            self.process.join()

    def next_backoff_seconds(self) -> float:
        """How long to wait before starting it again: 1 s, doubling to 30 s while it lives less than 15 s."""
        lived = time.monotonic() - self.started_at
        self.failure_count = self.failure_count + 1 if lived < 15 else 1
        return float(min(2 ** (self.failure_count - 1), 30))

    def _kill_session(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def run_in_child(work: Callable[..., T], **arguments: object) -> T:
    """What `work` returns or raises, done in a process of its own: the memory it takes ends with that process.

    Call it before there are threads or connections.
    """
    with ProcessPoolExecutor(1, mp_context=_fork) as pool:
        return pool.submit(work, **arguments).result()


def stop_all(children: Sequence[Child], grace_seconds: float) -> bool:
    """End them within `grace` seconds, then by force. True when force was not needed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace_seconds
    while any(child.process and child.process.exitcode is None for child in children):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    ended_gracefully = all(
        child.process is None or child.process.exitcode is not None for child in children
    )
    for child in children:
        child.kill()
    return ended_gracefully
