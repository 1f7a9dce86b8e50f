"""What was read, committed: the events of many requests in one transaction, and an outcome for each request."""

import logging
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection

from errors.new_event import NewEvent
from errors.store import aftermath
from errors.store.turn import turn
from errors.store.write import Written, write

log = logging.getLogger(__name__)

Request = Sequence[NewEvent]


class Unavailable(Exception):
    """Not stored, try again later: 503."""

    retry_after = 5


class NotStorable(Exception):
    """The database does not take this one event, whatever its neighbors: a fault of ours."""


Outcome = Written | Unavailable | NotStorable


def commit(requests: Sequence[Request]) -> list[Outcome]:
    """One outcome for each request, in their order; never raises."""
    if not requests:
        return []
    try:
        with turn():
            written = write([event for request in requests for event in request])
    except (OperationalError, InterfaceError, InternalError) as error:
        _reopen()
        log.warning("events not stored: the database is away", extra={"error": str(error)[:300]})
        return [Unavailable("the store is away")] * len(requests)
    except Exception as error:
        if isinstance(error, DatabaseError):
            _reopen()
        if len(requests) > 1:  # one poisonous event must not take the others with it
            return [outcome for request in requests for outcome in commit([request])]
        log.exception("an event could not be stored")
        return [NotStorable(str(error)[:300])]
    aftermath.of(written)
    return [written] * len(requests)


def _reopen() -> None:
    """The next batch gets a new connection: that is how the store recovers by itself."""
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None
