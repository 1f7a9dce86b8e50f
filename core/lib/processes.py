"""Fork child processes that share their parent's memory and end with it.

The parent must not have threads or open connections when it forks: a lock held by a thread would stay locked in the
child, and both processes would use the same connection.
"""

import contextlib
import ctypes
import gc
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
    """Have the kernel send `signum` to this process when the thread that created it ends.

    Do nothing outside Linux.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


def is_running(pid: int) -> bool:
    """Return True if a process of this machine has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def set_process_name(name: str) -> None:
    """Set the name that `ps -o comm` and `top` show, at most 15 characters. Do nothing outside Linux."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def freeze_objects() -> None:
    """Exclude all present objects from garbage collection.

    A collection of the loaded portal takes 170 ms (seen in a row of `bench.api_lists`). It writes to every object,
    which ends the sharing of their memory with forked processes.
    """
    gc.collect()
    gc.freeze()


def collect_rarely() -> None:
    """Collect garbage less often than Python does by default, as all processes that answer requests do."""
    gc.set_threshold(25_000, 20, 50)


@dataclass
class Child:
    """A child process in a new session. Ctrl-C reaches only the parent, which can kill all processes of the session."""

    name: str
    work: Callable[[], object]
    process: BaseProcess | None = None
    started_at: float = 0.0
    start_count: int = 0
    failure_count: int = 0

    def start(self) -> None:
        """Start the process. Only the main thread may call this, because the child ends with the calling thread."""
        self.start_count += 1
        self.process = _fork.Process(target=self._run, args=(os.getpid(),), name=self.name)
        # A child with the inherited handlers would not end on a signal. Therefore, the end signals are blocked until
        # the child has replaced the handlers.
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
            sys.exit("the supervisor has ended")
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
        """Return None while the process runs. When it has ended, kill the rest of its session and return the reason."""
        code = self.process.exitcode if self.process else None
        if code is None:
            return None
        self._kill_session()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def terminate(self) -> None:
        """Send SIGTERM to the main process only, which lets its own children finish their work."""
        if self.process:
            self.process.terminate()

    def kill(self) -> None:
        self._kill_session()
        if self.process:
            self.process.kill()  # Right after the fork, the process has no session to signal yet.
            self.process.join()

    def next_backoff_seconds(self) -> float:
        """Return the wait before the next start: 0 after a run of at least 15 s, else 1 s, growing up to 30 s."""
        lived = time.monotonic() - self.started_at
        self.failure_count = self.failure_count + 1 if lived < 15 else 0
        return min(2.0**self.failure_count - 1, 30.0)

    def _kill_session(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def run_in_child(work: Callable[..., T], **arguments: object) -> T:
    """Run `work` in a child process, whose memory is freed afterwards. Return its result or raise its exception.

    The calling process must not have any threads or connections.
    """
    with ProcessPoolExecutor(1, mp_context=_fork) as pool:
        return pool.submit(work, **arguments).result()


def stop_all(children: Sequence[Child], grace_seconds: float) -> bool:
    """Terminate the children, and kill those that run longer than `grace_seconds`.

    Return True if none had to be killed.
    """
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
