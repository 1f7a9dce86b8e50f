"""What others call: errors.services.record_events, and what staff do to groups."""

from collections.abc import Sequence

from errors.new_event import NewEvent
from errors.store.write import Written
from errors.store.writer import store

__all__ = ["NewEvent", "Written", "record_events"]


def record_events(events: Sequence[NewEvent]) -> Written:
    """Store events and return once they are; inside the caller's transaction if there is one.

    Raises store.writer.Unavailable when the database is away.
    """
    return store(lambda: events)
