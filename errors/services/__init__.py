"""Services that other apps call."""

from errors.event.new_event import NewEvent
from errors.store.commit import store_events as record_events
from errors.store.write import Written

__all__ = ["NewEvent", "Written", "record_events"]
