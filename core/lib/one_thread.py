"""One thread a process does what many threads ask for, several at once.

For writes, where a commit's wait for the disk costs more than the writes: what arrives during one goes into the next, the
one connection stays open, and threads that only wait do not fight for the interpreter's lock.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Made = TypeVar("Made")


class Late(Exception):
    """No answer in time. What was asked may still be done."""


class Failed(Exception):
    """The thread's work ended without an answer for this one: a fault of ours, which is logged."""


class Waiting(Generic[Asked, Made]):
    """What somebody waits for. It is answered once; later answers are passed over."""

    __slots__ = ("_unanswered", "asked", "outcome")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.outcome: Made | Exception
        self._unanswered = threading.Lock()  # the cheapest thing a thread can wait for
        self._unanswered.acquire()

    def answer(self, outcome: Made | Exception) -> None:
        if self._unanswered.locked():
            self.outcome = outcome
            self._unanswered.release()

    def is_answered_within(self, seconds: float) -> bool:
        return self._unanswered.acquire(timeout=seconds)


class OneThread(Generic[Asked, Made]):
    def __init__(
        self,
        name: str,
        work: Callable[[list[Waiting[Asked, Made]]], None],
        *,
        at_once: int,
        patience: float,
    ) -> None:
        """`work` answers each of up to `at_once`; `patience` is in seconds."""
        self._name = name
        self._work = work
        self._at_once = at_once
        self._patience = patience
        self._queue: deque[Waiting[Asked, Made]] = deque()
        self._condition = threading.Condition()
        self._pid = 0

    def ask(self, asked: Asked) -> Made:
        """What `work` answered; an exception is raised. Raises Late or Failed, too."""
        waiting: Waiting[Asked, Made] = Waiting(asked)
        with self._condition:
            if self._pid != os.getpid():
                self._start()
            self._queue.append(waiting)
            self._condition.notify()
        if not waiting.is_answered_within(self._patience):
            raise Late
        if isinstance(waiting.outcome, Exception):
            raise waiting.outcome
        return waiting.outcome

    def waiting_count(self) -> int:
        return len(self._queue)

    def _start(self) -> None:
        """Threads do not survive a fork, so each process starts its own when first asked."""
        self._pid = os.getpid()
        self._queue.clear()
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue:
                    self._condition.wait()
                count = min(len(self._queue), self._at_once)
                taken = [self._queue.popleft() for _ in range(count)]
            failed = Failed("left without an answer")
            try:
                self._work(taken)
            except BaseException as error:
                log.exception("the work of one thread failed", extra={"of": self._name})
                failed = Failed(str(error))
            for waiting in taken:  # whatever it was, nobody may wait for it in vain
                waiting.answer(failed)
