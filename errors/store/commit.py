"""Commit the events of many requests in one transaction (group commit), and report an outcome for each request."""

import logging
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection

from errors.event.new_event import NewEvent
from errors.exceptions import NotStorable, Unavailable
from errors.store import post_commit
from errors.store.write import BatchResult, write
from errors.store.write_lock import write_lock

log = logging.getLogger(__name__)

Events = Sequence[NewEvent]  # Contains the events of one request.


Outcome = BatchResult | Unavailable | NotStorable


def commit(requests: Sequence[Events]) -> list[Outcome]:
    """Commit the events, and return an outcome for each request, in the order of the requests.

    A BatchResult is the result of the whole transaction. Errors become outcomes and are not raised.
    """
    if not requests:
        return []
    try:
        with write_lock():
            result = write([event for request in requests for event in request])
    except (OperationalError, InterfaceError, InternalError) as error:
        _reconnect()
        log.warning(
            "the events were not stored, because the database is unavailable",
            extra={"error": str(error)[:300]},
        )
        return [Unavailable("the store is unavailable")] * len(requests)
    except Exception as error:
        if isinstance(error, DatabaseError):
            _reconnect()
        # One event that cannot be stored must not prevent the storage of other events.
        if len(requests) > 1:
            return [outcome for request in requests for outcome in commit([request])]
        log.exception("an event could not be stored")
        return [NotStorable(str(error)[:300])]
    post_commit.follow_up_soon(result)
    return [result] * len(requests)


def store_events(events: Events) -> BatchResult:
    """Store events, and return after they are committed or, in a transaction of the caller, after they are written.

    Raises Unavailable or NotStorable if nothing is stored; in a transaction of the caller, raises database errors.
    """
    if connection.in_atomic_block:
        result = write(events) if events else BatchResult()
        post_commit.follow_up_on_commit(result)
        return result
    [outcome] = commit([events])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _reconnect() -> None:
    """Close the database connection, so that the next batch opens a new one."""
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None
