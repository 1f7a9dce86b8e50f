"""The store's statements: few a batch, in the form each database is fast with."""

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
    """Rows of all tables, each sorted by its key, so that two writers never wait for each other in a circle."""

    events: Rows  # EVENT_COLUMNS
    payloads: Rows  # PAYLOAD_COLUMNS
    groups: Rows  # (events, first_at, last_at, release, last_event, id)
    users: Rows  # (group_id, user_key)
    hours: Rows  # (group_id, hour, count)
    tags: Rows  # (group_id, key, value, count)
    minutes: Rows  # (minute, app_id, severity, count)


class Dialect(Protocol):
    def cursor(self) -> AbstractContextManager[Any]:
        """The cursor that the other methods take; the database's errors come as Django's."""

    def new_ids(
        self, cursor: Any, seen: Rows, group_ids: Sequence[int]
    ) -> tuple[set[tuple[str, int]], list[Row]]:
        """Insert (event_id hex, app_id, event) rows; which (event_id, app_id) were not there before.

        And the states of these groups, as `group_states` has them.
        """

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        """(id, status, severity, merged_into_id, event_count) of the groups, locked until the end."""

    def add(self, cursor: Any, batch: Batch) -> None:
        """Insert events and payloads, add to everything counted; a group's users by those that were not there before."""

    def timestamp(self, value: datetime) -> Any: ...

    def event_id(self, event_id: str) -> Any: ...
