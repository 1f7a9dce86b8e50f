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
    """The rows of all tables in a batch. Each list is sorted by its key, so that concurrent writers do not deadlock."""

    events: Rows  # A row has EVENT_COLUMNS.
    payloads: Rows  # A row has PAYLOAD_COLUMNS.
    groups: Rows  # A row has (events, first_at, last_at, release, last_event, id).
    users: Rows  # A row has (group_id, user_key).
    hours: Rows  # A row has (group_id, hour, count).
    tags: Rows  # A row has (group_id, key, value, count).
    minutes: Rows  # A row has (minute, app_id, severity, count).
    # The smallest and the largest id of the events, if an event names an order or an object that may belong to an
    # order.
    to_link: tuple[int, int] | None


class Dialect(Protocol):
    def cursor(self) -> AbstractContextManager[Any]:
        """Open a cursor for the other methods. Database errors are raised as Django's exceptions."""

    def new_ids(
        self, cursor: Any, seen: Rows, group_ids: Sequence[int]
    ) -> tuple[set[tuple[str, int]], list[Row]]:
        """Insert (event_id hex, app_id, event) rows and return (event_id, app_id) of the new ones.

        Also return the states of the groups, as `group_states` does.
        """

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        """Lock the groups and return (id, status, severity, merged_into_id, event_count) of each."""

    def add(self, cursor: Any, batch: Batch) -> None:
        """Insert events and payloads, and add the batch to all counts. New users of a group increase its user count."""

    def timestamp(self, value: datetime) -> Any: ...

    def event_id(self, event_id: str) -> Any: ...
