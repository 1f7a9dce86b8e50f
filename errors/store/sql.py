"""Define the interface of the store's SQL, which has one implementation per database."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

EVENT_COLUMNS = (
    "id", "app_id", "group_id", "event_id", "occurred_at", "severity", "environment", "release", "category",
    "function", "message", "request_id", "user_key", "organization", "order_ref", "payment_ref", "reservation_ref",
)  # fmt: skip
PAYLOAD_COLUMNS = ("event_id", "dictionary_id", "data")

Row = tuple[Any, ...]
Rows = Sequence[Row]


@dataclass(slots=True, frozen=True)
class Batch:
    """The rows that a batch adds to each table.

    Counts, users and groups are sorted by key, so that concurrent writers cannot deadlock.
    """

    events: Rows  # Each row has a value for each of EVENT_COLUMNS.
    payloads: Rows  # Each row has a value for each of PAYLOAD_COLUMNS.
    groups: Rows  # Each row is (events, first_at, last_at, release, last_event, id).
    users: Rows  # Each row is (group_id, user_key).
    hours: Rows  # Each row is (group_id, hour, count).
    tags: Rows  # Each row is (group_id, key, value, count).
    minutes: Rows  # Each row is (minute, app_id, severity, count).
    # Smallest and largest id of the events that name an order, or an object that may belong to one. The app `impact`
    # links these events to orders. None if there is no such event.
    to_link: tuple[int, int] | None


class Dialect(Protocol):
    def cursor(self) -> AbstractContextManager[Any]:
        """Open a cursor for the other methods. Its database errors are raised as Django's exceptions."""

    def new_ids(
        self, cursor: Any, seen: Rows, group_ids: Sequence[int]
    ) -> tuple[set[tuple[str, int]], list[Row]]:
        """Insert rows of (event_id in hex, app_id, id) into SeenEvent, ignoring known events, and lock the groups.

        Return (event_id, app_id) of each new row, and the states of the groups as `group_states` returns them.
        """

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        """Lock the groups and return (id, status, severity, merged_into_id, event_count) of each."""

    def add(self, cursor: Any, batch: Batch) -> None:
        """Insert the events and payloads, and add the batch to all counts, including the user counts of groups."""

    def timestamp(self, value: datetime) -> Any: ...

    def event_id(self, event_id: str) -> Any: ...
