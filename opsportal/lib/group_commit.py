"""Short writes of many threads in one transaction, where a commit's wait for the disk costs more than the writes.

For SQLite, which has one writer. One thread a process does the work: what arrives during one commit goes into the next
one, and nobody returns before that. Its one connection stays open; and threads that only wait do not fight for the
interpreter's lock.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import OperationalError, connection, transaction

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Made = TypeVar("Made")
MOST_AT_ONCE = 64
PATIENCE = 30.0  # seconds; longer than SQLite waits for its lock


class _Waiting(Generic[Asked, Made]):
    __slots__ = ("asked", "done", "outcome")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.outcome: Made | Exception = OperationalError("the writer ended")
        self.done = threading.Lock()  # a bare lock is the cheapest thing a thread can wait for
        self.done.acquire()


class GroupCommit(Generic[Asked, Made]):
    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Made | Exception]]) -> None:
        """`work` runs inside a transaction, in another thread, and has an outcome for each; it undoes what it refuses."""
        self._work = work
        self._queue: deque[_Waiting[Asked, Made]] = deque()
        self._condition = threading.Condition()
        self._pid = 0

    def run(self, asked: Asked) -> Made:
        """The outcome once it is committed; an exception is raised. Inside a transaction that one decides, as ever."""
        if connection.in_atomic_block:
            [outcome] = self._work([asked])
        else:
            outcome = self._wait_for(asked)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _wait_for(self, asked: Asked) -> Made | Exception:
        waiting: _Waiting[Asked, Made] = _Waiting(asked)
        with self._condition:
            if self._pid != os.getpid():
                self._start()
            self._queue.append(waiting)
            self._condition.notify()
        if not waiting.done.acquire(timeout=PATIENCE):
            return OperationalError("locked: the writer did not answer in time")
        return waiting.outcome

    def _start(self) -> None:
        """Threads do not survive a fork, so each process starts its own with its first call."""
        self._pid = os.getpid()
        self._queue.clear()
        threading.Thread(target=self._serve, name="group commit", daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._condition:
                while not self._queue:
                    self._condition.wait()
                count = min(len(self._queue), MOST_AT_ONCE)
                batch = [self._queue.popleft() for _ in range(count)]
            try:
                self._commit(batch)
            except BaseException as error:  # whatever it was, nobody may wait for it in vain
                log.exception("group commit failed")
                _fail(batch, OperationalError(str(error)))
            for waiting in batch:
                waiting.done.release()

    def _commit(self, batch: Sequence[_Waiting[Asked, Made]]) -> None:
        try:
            with transaction.atomic():
                outcomes = self._work([waiting.asked for waiting in batch])
        except OperationalError as error:  # the database is locked or away: so for everyone
            connection.close()
            _fail(batch, error)
        except Exception as error:
            connection.close()
            if len(batch) == 1:
                _fail(batch, error)
            for waiting in batch if len(batch) > 1 else ():
                self._commit([waiting])  # one that cannot be kept must not take the others with it
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.outcome = outcome


def _fail(batch: Sequence[_Waiting[Asked, Made]], error: Exception) -> None:
    for waiting in batch:
        waiting.outcome = error
