"""Group commit: everything in flight shares one transaction, and nobody is answered before it has committed.

One thread a process writes. What arrives during one commit goes into the next; with 32 requests in flight a transaction
holds about 32 events and costs little more than for one. On SQLite the processes take turns by a file lock, because
SQLite's own waiting polls and starves one of them (p99 at 32 connections: 250 ms without the lock, 30 ms with it).
"""

import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from errors.store import aftermath
from errors.store.write import Packed, Written, write

log = logging.getLogger(__name__)

MOST_AT_ONCE = 256
MOST_WAITING = 4_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 25.0  # seconds; SDKs have given up long before


class Unavailable(Exception):
    """Not stored, try again later: 503."""

    retry_after = 5


class Refused(Exception):
    """The database does not take this one event, whatever its neighbors: a fault of ours."""


class _Waiting:
    __slots__ = ("done", "error", "packed", "written")

    def __init__(self, packed: Sequence[Packed]) -> None:
        self.packed = packed
        self.done = threading.Lock()  # a bare lock is the cheapest thing a thread can wait for
        self.done.acquire()
        self.error: Exception | None = None
        self.written: Written | None = None


class Writer:
    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._count = 0
        self._bytes = 0
        self._condition = threading.Condition()
        self._pid = 0

    def store(self, packed: Sequence[Packed]) -> Written:
        """Returns once all of it is committed. Raises Unavailable or Refused; then nothing of it was promised."""
        waiting = _Waiting(packed)
        size = sum(len(one.data) + len(one.event.payload) for one in packed)
        with self._condition:
            if self._pid != os.getpid():
                self._start()
            if self._count + len(packed) > MOST_WAITING or self._bytes + size > MOST_WAITING_BYTES:
                raise Unavailable("too many events are waiting to be stored")
            self._waiting.append(waiting)
            self._count += len(packed)
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
        self._count = self._bytes = 0
        threading.Thread(target=self._run, name="errors.store.writer", daemon=True).start()

    def _take(self) -> list[_Waiting]:
        with self._condition:
            while not self._waiting:
                self._condition.wait()
            batch: list[_Waiting] = []
            count = 0
            while self._waiting and (not batch or count < MOST_AT_ONCE):
                waiting = self._waiting.popleft()
                batch.append(waiting)
                count += len(waiting.packed)
            self._count -= count
            self._bytes -= sum(
                len(one.data) + len(one.event.payload) for w in batch for one in w.packed
            )
            return batch

    def _run(self) -> None:
        while True:
            batch = self._take()
            try:
                self._write(batch)
            except BaseException as error:  # whatever it was, nobody may wait for ever
                log.exception("the store's writer failed")
                for waiting in batch:
                    _answer(waiting, error=Unavailable(str(error)))

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            with turn():
                written = write([one for waiting in batch for one in waiting.packed])
        except (OperationalError, InterfaceError) as error:
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


def store(packed: Sequence[Packed]) -> Written:
    """Store events: together with everything else in flight, or in the caller's own transaction if there is one."""
    if connection.in_atomic_block:
        written = write(packed)
        aftermath.after_commit(written)
        return written
    return writer.store(packed)
