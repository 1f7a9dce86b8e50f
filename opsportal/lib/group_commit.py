"""Short writes of many threads in one transaction. For SQLite, which has one writer."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import OperationalError, connection, transaction

from opsportal.lib import one_thread
from opsportal.lib.one_thread import OneThread, Waiting

Asked = TypeVar("Asked")
Made = TypeVar("Made")
MOST_AT_ONCE = 64
PATIENCE = 30.0  # seconds; longer than SQLite waits for its lock


class GroupCommit(Generic[Asked, Made]):
    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Made | Exception]]) -> None:
        """`work` runs inside a transaction, in another thread, and has an outcome for each; it undoes what it refuses."""
        self._work = work
        self.thread: OneThread[Asked, Made] = OneThread(
            "group commit", self._commit, at_once=MOST_AT_ONCE, patience=PATIENCE
        )

    def run(self, asked: Asked) -> Made:
        """The outcome once it is committed; an exception is raised. Inside a transaction that one decides, as ever."""
        if connection.in_atomic_block:
            [outcome] = self._work([asked])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        try:
            return self.thread.ask(asked)
        except one_thread.Late:
            raise OperationalError("locked: the writer did not answer in time") from None
        except one_thread.Failed as error:
            raise OperationalError(str(error)) from None

    def _commit(self, batch: Sequence[Waiting[Asked, Made]]) -> None:
        try:
            with transaction.atomic():
                outcomes = self._work([waiting.asked for waiting in batch])
        except OperationalError as error:  # the database is locked or away: so for everyone
            connection.close()
            for waiting in batch:
                waiting.answer(error)
        except Exception as error:
            connection.close()
            if len(batch) == 1:
                batch[0].answer(error)
                return
            for waiting in batch:  # one that cannot be kept must not take the others with it
                self._commit([waiting])
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.answer(outcome)
