"""Execute the store's statements on SQLite, with a few statements per table and batch."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.db import connection

from errors.store.sql import EVENT_COLUMNS, PAYLOAD_COLUMNS, Batch, Row, Rows

_json = msgspec.json.Encoder()


def _as_json(rows: Iterable[Any]) -> str:
    return _json.encode(list(rows)).decode()


class SQLite:
    @contextmanager
    def cursor(self) -> Iterator[Any]:
        # The driver's own cursor is used, because Django's cursor would spend
        # time on rewriting the placeholders of each statement.
        connection.ensure_connection()
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            yield cursor

    def timestamp(self, value: datetime) -> str:
        # Django stores timestamps in UTC without an offset, so "+00:00" is cut off.
        return value.astimezone(UTC).isoformat(" ")[:-6]

    def event_id(self, event_id: str) -> str:
        return event_id

    def new_ids(
        self, cursor: Any, seen: Rows, group_ids: Sequence[int]
    ) -> tuple[set[tuple[str, int]], list[Row]]:
        cursor.execute(
            "INSERT INTO errors_seenevent (event_id, app_id, event)"
            " SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true"
            " ON CONFLICT DO NOTHING RETURNING event_id, app_id",
            [_as_json(seen)],
        )
        return set(cursor.fetchall()), self.group_states(cursor, group_ids)

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        cursor.execute(
            "SELECT id, status, severity, merged_into_id, event_count FROM errors_errorgroup"
            " WHERE id IN (SELECT value FROM json_each(?))",
            [_as_json(ids)],
        )
        return list(cursor.fetchall())

    def add(self, cursor: Any, batch: Batch) -> None:
        gained = self._add_users(cursor, batch.users)
        _insert(cursor, "errors_errorevent", EVENT_COLUMNS, batch.events)
        _insert(cursor, "errors_eventpayload", PAYLOAD_COLUMNS, batch.payloads)
        cursor.execute(
            "UPDATE errors_errorgroup SET event_count = event_count + (v.value->>0),"
            " first_seen_at = min(first_seen_at, v.value->>1), last_seen_at = max(last_seen_at, v.value->>2),"
            " last_release = coalesce(nullif(v.value->>3, ''), last_release),"
            " last_event = max(coalesce(last_event, 0), v.value->>4), user_count = user_count + (v.value->>6)"
            " FROM json_each(?) AS v WHERE errors_errorgroup.id = v.value->>5",
            [_as_json((*group, gained[group[-1]]) for group in batch.groups)],
        )
        _insert(cursor, "errors_grouphour", ("group_id", "hour", "count"), batch.hours, _ADD)
        _insert(cursor, "errors_grouptag", ("group_id", "key", "value", "count"), batch.tags, _ADD)
        columns = ("minute", "app_id", "severity", "count")
        _insert(cursor, "errors_minutecount", columns, batch.minutes, _ADD)
        if batch.to_link:
            _insert(
                cursor, "impact_change", ("source", "first", "last"), [("group", *batch.to_link)]
            )

    def _add_users(self, cursor: Any, users: Rows) -> Counter[int]:
        """Insert the users that are not known yet, and return the number of new users per group."""
        if not users:
            return Counter()
        cursor.execute(
            "INSERT INTO errors_groupuser (group_id, user_key)"
            " SELECT value->>0, value->>1 FROM json_each(?) WHERE true"
            " ON CONFLICT DO NOTHING RETURNING group_id",
            [_as_json(users)],
        )
        return Counter(group_id for (group_id,) in cursor.fetchall())


_ADD = "ON CONFLICT DO UPDATE SET count = count + excluded.count"
_ROWS_PER_STATEMENT = (32, 16, 8, 4, 2, 1)


@lru_cache
def _insertion(table: str, columns: tuple[str, ...], count: int, conflict: str) -> str:
    one = f"({', '.join('?' * len(columns))})"
    rows = ", ".join([one] * count)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows} {conflict}"  # noqa: S608


def _insert(
    cursor: Any, table: str, columns: tuple[str, ...], rows: Rows, conflict: str = ""
) -> None:
    """Insert many rows per statement. Only a few row counts are used, so that SQLite keeps the statements prepared.

    The driver releases the GIL for every statement, and other threads may then hold it for a while. With one row per
    statement, waiting for the GIL would take longer than the inserts.
    """
    start = 0
    for count in _ROWS_PER_STATEMENT:
        statement = _insertion(table, columns, count, conflict)
        while len(rows) - start >= count:
            cursor.execute(
                statement, [value for row in rows[start : start + count] for value in row]
            )
            start += count
