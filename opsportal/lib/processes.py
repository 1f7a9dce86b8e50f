"""Child processes that end with us, whatever happens to us, and share with us what was loaded before they began.

They are forked, so whoever starts them must have no thread and no connection: a lock that a thread held would stay
locked in the child, and two processes would talk on one connection.
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
from typing import ClassVar, TypeVar

from opsportal.lib import background

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
M_ARENA_MAX = -8
LARGEST_GAP = 4096
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_fork = multiprocessing.get_context("fork")
_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM)


def die_with_parent(signum: int) -> None:
    """Have the kernel send us `signum` when the thread that made this process ends. Linux only; elsewhere nothing."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


def call_me(name: str) -> None:
    """What `ps -o comm` and `top` call this process, in at most 15 characters: all have one command line."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def share_arenas(count: int) -> None:
    """Have all threads allocate from so many arenas: what is freed in one of them is of no use to the others.

    Otherwise glibc makes one for each thread, up to eight times the cores. For children, too; elsewhere nothing.
    """
    if _libc is not None and hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, count)


def keep_to_one_core(number: int) -> None:
    """Run this process, and what it starts, on one of the cores it may use: the same for the same number.

    Threads that share the interpreter's lock run one at a time; on several cores each handing-over of it wakes another core.
    Measured with two cores: docs/performance.md, "Which cores". Linux only; elsewhere, and where it is forbidden, nothing.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # sandboxes and systemd's SystemCallFilter= refuse it
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[number % len(cores)]})


class _MallocInfo(ctypes.Structure):
    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def fill_gaps() -> None:
    """Take the small gaps between what is in use, so that whoever is forked from us allocates where all is new.

    In the gaps each process would have a copy of its own of the pages around them: hundreds, for some bytes each.
    glibc only; elsewhere nothing. While there is no other thread.
    """
    if _libc is None or not hasattr(_libc, "mallinfo2"):
        return
    _libc.malloc.restype = _libc.sbrk.restype = ctypes.c_void_p
    _libc.mallinfo2.restype = _MallocInfo
    end = _libc.sbrk(0) - _libc.mallinfo2().keepcost  # from there on nothing is in use
    for size in range(LARGEST_GAP, 0, -16):
        while (taken := _libc.malloc(ctypes.c_size_t(size))) and taken < end:
            pass
        _libc.free(ctypes.c_void_p(taken))


@background.chore("memory: give back", seconds=20)
def give_back() -> None:
    """What this process has freed, to the system: glibc keeps the gaps between what is in use."""
    if _libc is not None and hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


@dataclass
class Child:
    """A process in a session of its own, so that a Ctrl-C at the terminal reaches only us, and we can end all of it."""

    name: str
    work: Callable[[], object]
    process: BaseProcess | None = None
    started_at: float = 0.0
    starts: int = 0
    failures: int = 0

    def start(self) -> None:
        """Call it from the main thread only: the child ends with the thread that started it."""
        self.starts += 1
        self.process = _fork.Process(target=self._run, args=(os.getpid(),), name=self.name)
        # Until the child has our handlers no more, a signal that tells it to end would be lost in them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED_TO_END)
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
        for signum in _ASKED_TO_END:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED_TO_END)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        self.work()

    @property
    def pid(self) -> int:
        return (self.process.pid or 0) if self.process else 0

    def ended(self) -> str | None:
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

    def backoff(self) -> float:
        """How long to wait before starting it again: 1 s, doubling to 30 s while it lives less than 15 s."""
        lived = time.monotonic() - self.started_at
        self.failures = self.failures + 1 if lived < 15 else 1
        return float(min(2 ** (self.failures - 1), 30))

    def _kill_session(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def in_a_child(work: Callable[..., T], **arguments: object) -> T:
    """What `work` returns or raises, done in a process of its own: the memory it takes ends with that process.

    Call it before there are threads or connections.
    """
    with ProcessPoolExecutor(1, mp_context=_fork) as pool:
        return pool.submit(work, **arguments).result()


def stop_all(children: Sequence[Child], grace: float) -> bool:
    """End them within `grace` seconds, then by force. True when force was not needed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace
    while any(child.process and child.process.exitcode is None for child in children):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    gently = all(child.process is None or child.process.exitcode is not None for child in children)
    for child in children:
        child.kill()
    return gently
