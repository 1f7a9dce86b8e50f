"""Export the services that other apps may call."""

from errors.event.new_event import NewEvent
from errors.store.commit import store_events as record_events
from errors.store.write import BatchResult

__all__ = ["BatchResult", "NewEvent", "record_events"]
