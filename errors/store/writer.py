"""Group commit: everything in flight shares one transaction, and nobody is answered before it has committed.

One thread a process reads and writes events. What arrives until the transaction starts goes into it; with 32 requests in
flight a transaction holds about 32 events and costs little more than for one. The thread also does the reading (unpack,
mend, filter, group), because forty threads that fight for the interpreter's lock cost more than the work. On SQLite the processes take turns by a file lock, because
SQLite's own waiting polls and starves one of them (p99 at 32 connections: 250 ms without the lock, 30 ms with it).
"""

import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
)

from errors.store import aftermath
from errors.store.write import Packed, Written, write

log = logging.getLogger(__name__)

MOST_AT_ONCE = 128
MOST_WAITING = 4_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 25.0  # seconds; SDKs have given up long before


class Unavailable(Exception):
    """Not stored, try again later: 503."""

    retry_after = 5


class Refused(Exception):
    """The database does not take this one event, whatever its neighbors: a fault of ours."""


Work = Callable[[], Sequence[Packed]]


class _Waiting:
    __slots__ = ("done", "error", "packed", "size", "work", "written")

    def __init__(self, work: Work, size: int) -> None:
        self.work = work
        self.size = size
        self.packed: Sequence[Packed] = ()
        self.done = threading.Lock()  # a bare lock is the cheapest thing a thread can wait for
        self.done.acquire()
        self.error: Exception | None = None
        self.written: Written | None = None


class Writer:
    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._condition = threading.Condition()
        self._pid = 0

    def store(self, work: Work, size: int) -> Written:
        """Returns once all that `work` makes is committed. `size` is about how many bytes wait meanwhile.

        Raises what `work` raises, Unavailable or Refused; then nothing of it was promised.
        """
        waiting = _Waiting(work, size)
        with self._condition:
            if self._pid != os.getpid():
                self._start()
            if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_WAITING_BYTES:
                raise Unavailable("too many events are waiting to be stored")
            self._waiting.append(waiting)
            self._bytes += size
            self._condition.notify()
        if not waiting.done.acquire(timeout=PATIENCE):
            raise Unavailable("the store did not answer in time")
        if waiting.error is not None:
            raise waiting.error
        assert waiting.written is not None
        return waiting.written

    def _start(self) -> None:
        """Threads do not survive a fork, so each process starts its own with its first event."""
        self._pid = os.getpid()
        self._waiting.clear()
        self._bytes = 0
        threading.Thread(target=self._run, name="errors.store.writer", daemon=True).start()

    def _wait(self) -> None:
        with self._condition:
            while not self._waiting:
                self._condition.wait()

    def _take(self, most: int) -> list[_Waiting]:
        with self._condition:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
            self._bytes -= sum(waiting.size for waiting in taken)
            return taken

    def _run(self) -> None:
        while True:
            self._wait()
            batch: list[_Waiting] = []
            try:
                self._gather(batch)
                if batch:
                    self._write(batch, gather=True)
            except BaseException as error:  # whatever it was, nobody may wait for ever
                log.exception("the store's writer failed")
                for waiting in batch:
                    _answer(waiting, error=Unavailable(str(error)))

    def _gather(self, batch: list[_Waiting]) -> None:
        """Read what waits, and what comes while it is being read: half of a small batch's cost is its transaction."""
        while taken := self._take(MOST_AT_ONCE - len(batch)):
            batch += [waiting for waiting in taken if _read(waiting)]

    def _write(self, batch: list[_Waiting], *, gather: bool = False) -> None:
        try:
            with turn():
                if gather:
                    self._gather(batch)  # what came during the other process's turn
                written = write([one for waiting in batch for one in waiting.packed])
        except (OperationalError, InterfaceError, InternalError) as error:
            _reopen()
            log.warning(
                "events not stored: the database is away", extra={"error": str(error)[:300]}
            )
            for waiting in batch:
                _answer(waiting, error=Unavailable("the store is away"))
        except Exception as error:
            if isinstance(error, DatabaseError):
                _reopen()
            if len(batch) > 1:
                for waiting in batch:  # one poisonous event must not take the others with it
                    self._write([waiting])
                return
            log.exception("an event could not be stored")
            _answer(batch[0], error=Refused(str(error)[:300]))
        else:
            for waiting in batch:
                _answer(waiting, written=written)
            aftermath.of(written)


def _read(waiting: _Waiting) -> bool:
    """Whether there is something to write; what cannot be read is answered at once."""
    try:
        waiting.packed = waiting.work()
    except Exception as error:
        _answer(waiting, error=error)
        return False
    if not waiting.packed:
        _answer(waiting, written=Written())
    return bool(waiting.packed)


def _answer(
    waiting: _Waiting, *, written: Written | None = None, error: Exception | None = None
) -> None:
    if waiting.done.locked():
        waiting.written, waiting.error = written, error
        waiting.done.release()


def _reopen() -> None:
    """The next batch gets a new connection: that is how the store recovers by itself."""
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None


_lock_file: int | None = None
_lock_pid = 0


@contextmanager
def turn() -> Iterator[None]:
    """This process's turn to write, on SQLite."""
    global _lock_file, _lock_pid
    if connection.vendor != "sqlite":
        yield
        return
    if _lock_file is None or _lock_pid != os.getpid():
        path = Path(settings.DATA_DIR) / "errors.write.lock"
        _lock_file, _lock_pid = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), os.getpid()  # fmt: skip
    fcntl.flock(_lock_file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(_lock_file, fcntl.LOCK_UN)


writer = Writer()


def store(work: Work, size: int = 0) -> Written:
    """Store events: together with everything else in flight, or in the caller's own transaction if there is one."""
    if connection.in_atomic_block:
        packed = work()
        written = write(packed) if packed else Written()
        aftermath.after_commit(written)
        return written
    return writer.store(work, size)
