"""Combine short writes from many threads into one transaction, for SQLite, which allows one writer at a time."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import OperationalError, connection, transaction

from core.lib import one_thread
from core.lib.one_thread import OneThread, Waiting

Asked = TypeVar("Asked")
Made = TypeVar("Made")
MAX_BATCH = 64
TIMEOUT_SECONDS = 30.0  # longer than SQLite's busy timeout


class GroupCommit(Generic[Asked, Made]):
    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Made | Exception]]) -> None:
        """Commit the writes that `work` makes.

        `work` runs in a transaction of another thread and returns one outcome per request. If it returns an exception
        for a request, it must have undone what it wrote for it.
        """
        self._work = work
        self.thread: OneThread[Asked, Made] = OneThread(
            "group commit", self._commit, at_once=MAX_BATCH, patience=TIMEOUT_SECONDS
        )

    def run(self, asked: Asked) -> Made:
        """Return the outcome once it is committed, or raise it if it is an exception.

        Inside a transaction, `work` runs at once as part of that transaction.
        """
        if connection.in_atomic_block:
            [outcome] = self._work([asked])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        try:
            return self.thread.ask(asked)
        except one_thread.Late:
            raise OperationalError("locked: the writer did not respond in time") from None
        except one_thread.Failed as error:
            raise OperationalError(str(error)) from None

    def _commit(self, batch: Sequence[Waiting[Asked, Made]]) -> None:
        try:
            with transaction.atomic():
                outcomes = self._work([waiting.asked for waiting in batch])
        except OperationalError as error:  # Locked or unavailable, which concerns the whole batch.
            connection.close()
            for waiting in batch:
                waiting.answer(error)
        except Exception as error:
            connection.close()
            if len(batch) == 1:
                batch[0].answer(error)
                return
            for (
                waiting
            ) in batch:  # Commit each one on its own, so that only the faulty write fails.
                self._commit([waiting])
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.answer(outcome)
