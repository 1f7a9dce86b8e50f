"""Group commit: everything in flight shares a transaction, and nobody is answered before it has committed.

One thread a process reads events (unpack, mend, filter, group), because forty threads that fight for the interpreter's lock
cost more than the work. What it has read it gives to the store's process, half of what waits at a time, and reads the other
half while that is committed; with no such process it commits by itself.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from django.db import connection

from errors.new_event import NewEvent
from errors.store import aftermath
from errors.store.commit import Outcome, Unavailable, commit
from errors.store.process import Gone, Link
from errors.store.write import Written, write
from opsportal.lib.one_thread import Waiting

log = logging.getLogger(__name__)

MOST_AT_ONCE = 128
MOST_BYTES_AT_ONCE = 8 * 1024 * 1024
MOST_WAITING = 4_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 25.0  # seconds; SDKs have given up long before
_GIVE_UP_EVERY = 1.0  # seconds
_LATE = "the store did not answer in time"
_CONNECT_EVERY = 1.0  # seconds

Reading = Callable[[], Sequence[NewEvent]]  # makes the events of one request
Then = Callable[[Outcome | Exception], None]


class _Waiting(Waiting[Reading, Written]):
    __slots__ = ("events", "size")

    def __init__(self, read: Reading, size: int) -> None:
        super().__init__(read)
        self.size = size
        self.events: Sequence[NewEvent] = ()

    def has_events(self) -> bool:
        """Reads it. One without is answered at once."""
        try:
            self.events = self.asked()
        except Exception as error:
            self.answer(error)
            return False
        if not self.events:
            self.answer(Written())
        return bool(self.events)


class _Calling(_Waiting):
    """One that no thread waits for: it is told, once, by the thread that answers."""

    __slots__ = ("_asked_at", "_then", "_turn")

    def __init__(self, read: Reading, size: int, then: Then) -> None:
        super().__init__(read, size)
        self._then = then
        self._turn = threading.Lock()
        self._asked_at = time.monotonic()

    def answer(self, outcome: Written | Exception) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self._then(outcome)
            except Exception:  # whoever it was, the others are told all the same
                log.exception("an answer of the store was not taken")

    def answer_if_late(self, now: float) -> None:
        if now - self._asked_at > PATIENCE:
            self.answer(Unavailable(_LATE))


class Writer:
    def __init__(self) -> None:
        self.address: Path | None = None  # of the store's process
        self._start_lock = threading.Lock()
        self._pid = 0
        self._sleeps = False

    def store(self, read: Reading, size: int) -> Written:
        waiting = _Waiting(read, size)
        self._ask(waiting)
        if not waiting.is_answered_within(PATIENCE):
            raise Unavailable(_LATE)
        if isinstance(waiting.outcome, Exception):
            raise waiting.outcome
        return waiting.outcome

    def store_and_call(self, read: Reading, size: int, then: Then) -> None:
        """As `store`, for a thread with other things to do. `then` gets what came of it, soon or when patience has run
        out, and must be quick: it is called by the thread that everybody waits for. Raises Unavailable when full."""
        self._ask(_Calling(read, size, then))

    def _ask(self, waiting: _Waiting) -> None:
        size = waiting.size
        if self._pid != os.getpid():
            self._start()
        with self._size_lock:
            if len(self._queue) >= MOST_WAITING or self._size() + size > MOST_WAITING_BYTES:
                raise Unavailable("too many events are waiting to be stored")
            self._size_in += size
        self._queue.append(waiting)
        if self._sleeps:
            self._sleeps = False
            os.write(self._bell, b"\0")

    def _size(self) -> int:
        return self._size_in - self._size_out

    def _start(self) -> None:
        """Threads do not survive a fork, so each process starts its own with its first event."""
        with self._start_lock:
            if self._pid == os.getpid():
                return
            self._queue: deque[_Waiting] = deque()
            self._reading: list[_Waiting] = []  # one, or none
            self._read: list[_Waiting] = []
            self._read_bytes = 0
            self._sent: list[_Waiting] = []  # to the store's process
            self._size_lock = threading.Lock()
            self._size_in = self._size_out = 0  # bytes; the second is the writer's thread's alone
            self._heard, self._bell = os.pipe()
            self._sleeps = False
            self._poll = select.poll()
            self._poll.register(self._heard, select.POLLIN)
            self._link: Link | None = None
            self._connect_at = 0.0
            threading.Thread(target=self._run, name="errors.store.writer", daemon=True).start()
            threading.Thread(target=self._give_up, name="errors.store.late", daemon=True).start()
            self._pid = os.getpid()

    def _run(self) -> None:
        while True:
            try:
                self._read_on()
                if self._read and not self._sent:
                    self._commit()
                else:
                    self._wait()
            except BaseException as error:  # whatever it was, nobody may wait for ever
                log.exception("the store's writer failed")
                self._hang_up()
                self._sent = [*self._sent, *self._read, *self._reading]
                self._reading, self._read, self._read_bytes = [], [], 0
                self._answer([Unavailable(str(error))] * len(self._sent))

    def _give_up(self) -> None:
        """Answers in place of a store that does not."""
        while True:
            time.sleep(_GIVE_UP_EVERY)
            now = time.monotonic()
            for waiting in [*self._queue, *self._reading, *self._read, *self._sent]:
                if isinstance(waiting, _Calling):
                    waiting.answer_if_late(now)

    def _read_on(self) -> None:
        queue = self._queue
        while queue and self._has_room():
            waiting = queue.popleft()
            self._size_out += waiting.size
            self._reading = [waiting]
            if waiting.has_events():
                self._read.append(waiting)
                self._read_bytes += sum([len(event.payload) for event in waiting.events])
            self._reading = []
            if self._link is not None:
                if self._sent and self._link.has_answer():
                    self._take_answer(self._link)
                if not self._sent and len(self._read) >= len(queue):
                    return

    def _has_room(self) -> bool:
        return len(self._read) < MOST_AT_ONCE and self._read_bytes < MOST_BYTES_AT_ONCE

    def _commit(self) -> None:
        self._sent, self._read, self._read_bytes = self._read, [], 0
        requests = [waiting.events for waiting in self._sent]
        link = self._connected()
        if link is not None:
            try:
                link.send(requests)
                return
            except Gone:
                self._hang_up()
        self._answer(commit(requests))

    def _take_answer(self, link: Link) -> None:
        try:
            outcomes = link.receive()
        except Gone:
            self._hang_up()
            if not self._sent:
                return
            # Committed already or not: an event that is there is counted once.
            log.warning("the store's process has ended; its last batch is committed here")
            outcomes = commit([waiting.events for waiting in self._sent])
        self._answer(outcomes)

    def _answer(self, outcomes: Sequence[Outcome]) -> None:
        sent, self._sent = self._sent, []
        for waiting, outcome in zip(sent, outcomes, strict=True):
            waiting.answer(outcome)

    def _connected(self) -> Link | None:
        if self._link is None and self.address and time.monotonic() >= self._connect_at:
            self._connect_at = time.monotonic() + _CONNECT_EVERY
            try:
                self._link = Link(self.address)
            except Gone:
                return None
            self._poll.register(self._link, select.POLLIN)
        return self._link

    def _hang_up(self) -> None:
        if self._link is not None:
            self._poll.unregister(self._link)
            self._link.close()
            self._link = None

    def _wait(self) -> None:
        """For more to read, or for the answer to what was sent."""
        self._sleeps = True
        if self._queue and self._has_room():
            self._sleeps = False
            return
        for fd, _ in self._poll.poll():
            if fd == self._heard:
                os.read(fd, 4096)
            elif self._link is not None:
                self._take_answer(self._link)
        self._sleeps = False


writer = Writer()


def store(read: Reading, size: int = 0) -> Written:
    """Store the events that `read` makes: together with everything else in flight, or in the caller's own transaction if
    there is one. `size` is about how many bytes wait meanwhile.

    Returns once they are committed. Raises what `read` raises, Unavailable or NotStorable; then nothing was promised.
    """
    if connection.in_atomic_block:
        events = read()
        written = write(events) if events else Written()
        aftermath.after_commit(written)
        return written
    return writer.store(read, size)
