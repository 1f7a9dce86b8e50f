"""Combine short writes from many threads into one transaction, for SQLite, which allows one writer at a time."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import OperationalError, connection, transaction

from core.lib import batching_thread
from core.lib.batching_thread import BatchingThread, PendingRequest

Request = TypeVar("Request")
Result = TypeVar("Result")
MAX_BATCH = 64
TIMEOUT_SECONDS = 30.0  # This is longer than SQLite's busy timeout.


class GroupCommit(Generic[Request, Result]):
    def __init__(self, work: Callable[[Sequence[Request]], Sequence[Result | Exception]]) -> None:
        """Create the writer, which calls `work` with the collected requests.

        `work` runs in a transaction of another thread and returns one outcome per request. If it returns an exception
        for a request, it must have undone the writes for this request. If the transaction of several requests fails,
        `work` is called again for each of them.
        """
        self._work = work
        self.thread: BatchingThread[Request, Result] = BatchingThread(
            "group commit", self._commit, max_batch=MAX_BATCH, timeout_seconds=TIMEOUT_SECONDS
        )

    def run(self, request: Request) -> Result:
        """Return the outcome of the request after its commit, or raise it if it is an exception.

        Inside a transaction, `work` runs immediately as part of that transaction. Raises OperationalError if the writer
        does not answer in time or fails.
        """
        if connection.in_atomic_block:
            [outcome] = self._work([request])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        try:
            return self.thread.submit(request)
        except batching_thread.TimedOut:
            raise OperationalError("locked: the writer did not respond in time") from None
        except batching_thread.Failed as error:
            raise OperationalError(str(error)) from None

    def _commit(self, batch: Sequence[PendingRequest[Request, Result]]) -> None:
        try:
            with transaction.atomic():
                outcomes = self._work([pending.request for pending in batch])
        except OperationalError as error:
            # The database is locked or unavailable, so no request of the batch can succeed.
            connection.close()
            for pending in batch:
                pending.answer(error)
        except Exception as error:
            connection.close()
            if len(batch) == 1:
                batch[0].answer(error)
                return
            # Each write is committed separately, so that only the faulty one fails.
            for pending in batch:
                self._commit([pending])
        else:
            for pending, outcome in zip(batch, outcomes, strict=True):
                pending.answer(outcome)
