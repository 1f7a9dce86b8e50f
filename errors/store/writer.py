"""Group commit: everything in flight shares one transaction, and nobody is answered before it has committed.

One thread a process reads and writes events. What arrives until the transaction starts goes into it; with 32 requests in
flight a transaction holds about 32 events and costs little more than for one. The thread also does the reading (unpack,
mend, filter, group), because forty threads that fight for the interpreter's lock cost more than the work.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
)

from errors.store import aftermath
from errors.store.turn import turn
from errors.store.write import Packed, Written, write
from opsportal.lib import one_thread
from opsportal.lib.one_thread import OneThread, Waiting

log = logging.getLogger(__name__)

MOST_AT_ONCE = 128
MOST_WAITING = 4_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 25.0  # seconds; SDKs have given up long before


class Unavailable(Exception):
    """Not stored, try again later: 503."""

    retry_after = 5


class NotStorable(Exception):
    """The database does not take this one event, whatever its neighbors: a fault of ours."""


Reading = Callable[[], Sequence[Packed]]  # makes the events of one request


class _Read(NamedTuple):
    waiting: Waiting[Reading, Written]
    packed: Sequence[Packed]


def store(read: Reading, size: int = 0) -> Written:
    """Store the events that `read` makes: together with everything else in flight, or in the caller's own transaction if
    there is one. `size` is about how many bytes wait meanwhile.

    Returns once they are committed. Raises what `read` raises, Unavailable or NotStorable; then nothing was promised.
    """
    if connection.in_atomic_block:
        packed = read()
        written = write(packed) if packed else Written()
        aftermath.after_commit(written)
        return written
    try:
        return _thread.ask(read, size)
    except one_thread.Full:
        raise Unavailable("too many events are waiting to be stored") from None
    except one_thread.Late:
        raise Unavailable("the store did not answer in time") from None
    except one_thread.Failed as error:
        raise Unavailable(str(error)) from None


def _serve(taken: list[Waiting[Reading, Written]]) -> None:
    batch = _read_all(taken)
    _gather(batch)
    if batch:
        _write(batch, gather=True)


def _gather(batch: list[_Read]) -> None:
    """Read what came while others were being read: half of a small batch's cost is its transaction."""
    while taken := _thread.take(MOST_AT_ONCE - len(batch)):
        batch += _read_all(taken)


def _read_all(taken: list[Waiting[Reading, Written]]) -> list[_Read]:
    """Those with something to write; the others are answered at once."""
    found = []
    for waiting in taken:
        try:
            packed = waiting.asked()
        except Exception as error:
            waiting.answer(error)
            continue
        if packed:
            found.append(_Read(waiting, packed))
        else:
            waiting.answer(Written())
    return found


def _write(batch: list[_Read], *, gather: bool = False) -> None:
    try:
        with turn():
            if gather:
                _gather(batch)  # what came during the other process's turn
            written = write([one for read in batch for one in read.packed])
    except (OperationalError, InterfaceError, InternalError) as error:
        _reopen()
        log.warning("events not stored: the database is away", extra={"error": str(error)[:300]})
        for read in batch:
            read.waiting.answer(Unavailable("the store is away"))
    except Exception as error:
        if isinstance(error, DatabaseError):
            _reopen()
        if len(batch) > 1:
            for read in batch:  # one poisonous event must not take the others with it
                _write([read])
            return
        log.exception("an event could not be stored")
        batch[0].waiting.answer(NotStorable(str(error)[:300]))
    else:
        for read in batch:
            read.waiting.answer(written)
        aftermath.of(written)


def _reopen() -> None:
    """The next batch gets a new connection: that is how the store recovers by itself."""
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None


_thread: OneThread[Reading, Written] = OneThread(
    "errors.store.writer",
    _serve,
    at_once=MOST_AT_ONCE,
    patience=PATIENCE,
    most=MOST_WAITING,
    most_size=MOST_WAITING_BYTES,
)
