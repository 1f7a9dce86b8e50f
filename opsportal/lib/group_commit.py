"""Short writes of many threads in one transaction, where a commit's wait for the disk costs more than the writes.

For SQLite, which has one writer: while one thread commits, the others queue up, and the next one to come through does
the work of all of them. Nobody returns before the commit. On PostgreSQL, which shares its syncs between connections,
and inside a transaction, each call simply runs; hence what belongs together in it is atomic by itself.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection, transaction

T = TypeVar("T")
MOST_AT_ONCE = 64


class _Waiting:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.is_done = False
        self.result: Any = None
        self.error: Exception | None = None


class GroupCommit:
    def __init__(self) -> None:
        self._queue: deque[_Waiting] = deque()
        self._turn = threading.Lock()

    def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises, once it is committed. It may run in another thread: no thread-locals in it.

        A call that raises undoes only itself.
        """
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            return call()
        mine = _Waiting(call)
        self._queue.append(mine)
        with self._turn:
            if not mine.is_done:  # else whoever had the turn before did it too
                self._commit([self._queue.popleft() for _ in range(len(self._queue))])
        if mine.error is not None:
            raise mine.error
        result: T = mine.result
        return result

    def _commit(self, waiting: list[_Waiting]) -> None:
        for start in range(0, len(waiting), MOST_AT_ONCE):
            batch = waiting[start : start + MOST_AT_ONCE]
            try:
                with transaction.atomic():
                    for one in batch:
                        _run(one)
            except Exception as error:  # the commit itself failed: nothing of the batch was kept
                for one in batch:
                    one.error = error
            for one in batch:
                one.is_done = True


def _run(one: _Waiting) -> None:
    try:
        with transaction.atomic():
            one.result = one.call()
    except Exception as error:
        one.error = error
