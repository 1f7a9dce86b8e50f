"""Perform the requests of many threads in batches, in one thread per process.

This is worthwhile for writes, because waiting for the disk at a commit takes longer than the writes themselves.
Requests that arrive during a commit share the next commit, one connection stays open, and waiting threads do not
compete for the GIL.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Result = TypeVar("Result")


class TimedOut(Exception):
    """The request was not answered in time. It may still be performed."""


class Failed(Exception):
    """The batch ended without an outcome for this request, because of a bug in `perform`. Its exception is logged."""


class PendingRequest(Generic[Request, Result]):
    """A request whose sender waits for the outcome. The first outcome is used; later ones are ignored."""

    __slots__ = ("_unanswered", "outcome", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.outcome: Result | Exception
        # A lock is cheaper to wait for than an Event or a Condition.
        self._unanswered = threading.Lock()
        self._unanswered.acquire()

    def answer(self, outcome: Result | Exception) -> None:
        if self._unanswered.locked():
            self.outcome = outcome
            self._unanswered.release()

    def is_answered_within(self, seconds: float) -> bool:
        return self._unanswered.acquire(timeout=seconds)


class BatchingThread(Generic[Request, Result]):
    def __init__(
        self,
        name: str,
        perform: Callable[[list[PendingRequest[Request, Result]]], None],
        *,
        max_batch: int,
        timeout_seconds: float,
    ) -> None:
        """Create a thread that calls `perform` with up to `max_batch` requests at a time.

        `perform` must answer each request.
        """
        self._name = name
        self._perform = perform
        self._max_batch = max_batch
        self._timeout_seconds = timeout_seconds
        self._queue: deque[PendingRequest[Request, Result]] = deque()
        self._condition = threading.Condition()
        self._pid = 0

    def submit(self, request: Request) -> Result:
        """Wait for the outcome and return it, or raise it if it is an exception.

        Raises TimedOut if there is no outcome in time, and Failed if `perform` did not answer the request.
        """
        pending: PendingRequest[Request, Result] = PendingRequest(request)
        with self._condition:
            if self._pid != os.getpid():
                self._start()
            self._queue.append(pending)
            self._condition.notify()
        if not pending.is_answered_within(self._timeout_seconds):
            raise TimedOut
        if isinstance(pending.outcome, Exception):
            raise pending.outcome
        return pending.outcome

    def waiting_count(self) -> int:
        return len(self._queue)

    def _start(self) -> None:
        """Start the thread of this process at the first request, because threads do not survive a fork."""
        self._pid = os.getpid()
        self._queue.clear()
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue:
                    self._condition.wait()
                count = min(len(self._queue), self._max_batch)
                batch = [self._queue.popleft() for _ in range(count)]
            failed = Failed("the request was not answered")
            try:
                self._perform(batch)
            except BaseException as error:
                log.exception("a batch failed", extra={"thread_name": self._name})
                failed = Failed(str(error))
            for pending in batch:  # Requests that `perform` has answered ignore this second answer.
                pending.answer(failed)
