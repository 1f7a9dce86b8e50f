"""Aggregate a batch of events per group, hour, minute, tag and user. This module does not use the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from errors.event.new_event import NewEvent
from errors.models import hour_of, minute_of
from errors.store.groups import worse_severity

# Further values of a tag in a group are counted together as OTHERS.
MAX_TAG_VALUES = 100
OTHERS = "(others)"
MAX_KNOWN_TAGS = 50_000


@dataclass(slots=True)
class GroupAggregate:
    """The counts of one group in a batch."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_event: int = 0
    severity: str = ""
    release: str = ""

    def add(self, event: NewEvent, id: int) -> None:
        at = event.received_at
        self.count += 1
        self.first_at = at if self.first_at is None or at < self.first_at else self.first_at
        if self.last_at is None or at >= self.last_at:
            self.last_at, self.last_event = at, id
            self.release = event.release or self.release
        self.severity = (
            worse_severity(self.severity, event.severity) if self.severity else event.severity
        )


class TagValues:
    """The values of each tag that this process has counted in each group.

    Each process limits the number of values per tag, so that a tag such as an order number does not fill the database.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], set[str]] = {}

    def value_to_count(self, group_id: int, key: str, value: str) -> str:
        seen = self._seen.get((group_id, key))
        if seen is None:
            if len(self._seen) >= MAX_KNOWN_TAGS:
                self._seen.clear()
            seen = self._seen[group_id, key] = set()
        if value in seen:
            return value
        if len(seen) >= MAX_TAG_VALUES:
            return OTHERS
        seen.add(value)
        return value


tag_values = TagValues()
# These values are counted from the event's columns. Client tags with the same names are ignored.
_COLUMNS = ("environment", "release", "function", "category")


class Aggregates:
    """The counts of one batch, for all tables that count events."""

    def __init__(self) -> None:
        self.groups: dict[int, GroupAggregate] = {}
        self.hours: dict[tuple[int, int], int] = {}
        self.minutes: dict[tuple[int, int, str], int] = {}
        self.tags: dict[tuple[int, str, str], int] = {}
        self.users: set[tuple[int, str]] = set()

    def add(self, event: NewEvent, group_id: int, id: int) -> None:
        group = self.groups.get(group_id)
        if group is None:
            group = self.groups[group_id] = GroupAggregate()
        group.add(event, id)
        hour = (group_id, hour_of(event.received_at))
        self.hours[hour] = self.hours.get(hour, 0) + 1
        minute = (minute_of(event.received_at), event.app_id, event.severity)
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        if event.user_key:
            self.users.add((group_id, event.user_key))
        tags, values = self.tags, tag_values
        for name in _COLUMNS:
            value = getattr(event, name)
            if value:
                tag = (group_id, name, values.value_to_count(group_id, name, value))
                tags[tag] = tags.get(tag, 0) + 1
        for name, value in event.tags:
            if name not in _COLUMNS:
                key = name[:64]
                tag = (group_id, key, values.value_to_count(group_id, key, value))
                tags[tag] = tags.get(tag, 0) + 1

    @classmethod
    def of(cls, rows: Iterable[tuple[NewEvent, int, int]]) -> "Aggregates":
        aggregates = cls()
        for event, group_id, id in rows:
            aggregates.add(event, group_id, id)
        return aggregates
