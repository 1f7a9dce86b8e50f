"""The store's statements: one a table and batch, in the form each database is fast with."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import msgspec
from django.db import connection

EVENT_COLUMNS = (
    "id", "app_id", "group_id", "event_id", "occurred_at", "severity", "environment", "release", "category",
    "function", "message", "request_id", "user_key", "organization", "order_ref", "payment_ref", "reservation_ref",
)  # fmt: skip
PAYLOAD_COLUMNS = ("event_id", "dictionary_id", "data")

Row = tuple[Any, ...]
Rows = Sequence[Row]


class Dialect(Protocol):
    """Rows come sorted by key, so that two writers never wait for each other in a circle."""

    def cursor(self) -> AbstractContextManager[Any]:
        """The cursor that the other methods take; the database's errors come as Django's."""

    def together(self, cursor: Any) -> AbstractContextManager[Any]:
        """Statements inside share a round trip, where there are round trips; none of them returns rows."""

    def new_ids(self, cursor: Any, seen: Rows) -> set[tuple[str, int]]:
        """Insert (event_id hex, app_id, event) rows; which (event_id, app_id) were not there before."""

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        """(id, status, severity, merged_into_id, event_count) of the groups, locked until the end."""

    def new_users(self, cursor: Any, users: Rows) -> list[int]:
        """Insert (group_id, user_key) rows; the group ids of those that were not there before."""

    def insert_events(self, cursor: Any, events: Rows, payloads: Rows) -> None: ...

    def update_groups(self, cursor: Any, groups: Rows) -> None:
        """(events, users, first_at, last_at, release, last_event, id)"""

    def add_hours(self, cursor: Any, hours: Rows) -> None: ...

    def add_minutes(self, cursor: Any, minutes: Rows) -> None: ...

    def add_tags(self, cursor: Any, tags: Rows) -> None: ...

    def moment(self, moment: datetime) -> Any: ...

    def event_id(self, event_id: str) -> Any: ...


_json = msgspec.json.Encoder()


def _as_json(rows: Iterable[Any]) -> str:
    return _json.encode(list(rows)).decode()


class SQLite:
    @contextmanager
    def cursor(self) -> Iterator[Any]:
        # The driver's own cursor: Django's rewrites every statement's placeholders, a tenth of the writer's time.
        connection.ensure_connection()
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            yield cursor

    def together(self, cursor: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def moment(self, moment: datetime) -> str:
        return str(moment.astimezone(UTC).replace(tzinfo=None))  # as Django writes it

    def event_id(self, event_id: str) -> str:
        return event_id

    def new_ids(self, cursor: Any, seen: Rows) -> set[tuple[str, int]]:
        cursor.execute(
            "INSERT INTO errors_seenevent (event_id, app_id, event)"
            " SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true"
            " ON CONFLICT DO NOTHING RETURNING event_id, app_id",
            [_as_json(seen)],
        )
        return set(cursor.fetchall())

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        cursor.execute(
            "SELECT id, status, severity, merged_into_id, event_count FROM errors_errorgroup"
            " WHERE id IN (SELECT value FROM json_each(?))",
            [_as_json(ids)],
        )
        return list(cursor.fetchall())

    def new_users(self, cursor: Any, users: Rows) -> list[int]:
        cursor.execute(
            "INSERT INTO errors_groupuser (group_id, user_key)"
            " SELECT value->>0, value->>1 FROM json_each(?) WHERE true"
            " ON CONFLICT DO NOTHING RETURNING group_id",
            [_as_json(users)],
        )
        return [group_id for (group_id,) in cursor.fetchall()]

    def insert_events(self, cursor: Any, events: Rows, payloads: Rows) -> None:
        _insert(cursor, "errors_errorevent", EVENT_COLUMNS, events)
        _insert(cursor, "errors_eventpayload", PAYLOAD_COLUMNS, payloads)

    def update_groups(self, cursor: Any, groups: Rows) -> None:
        cursor.execute(
            "UPDATE errors_errorgroup SET event_count = event_count + (v.value->>0),"
            " user_count = user_count + (v.value->>1), first_seen_at = min(first_seen_at, v.value->>2),"
            " last_seen_at = max(last_seen_at, v.value->>3),"
            " last_release = coalesce(nullif(v.value->>4, ''), last_release),"
            " last_event = max(coalesce(last_event, 0), v.value->>5)"
            " FROM json_each(?) AS v WHERE errors_errorgroup.id = v.value->>6",
            [_as_json(groups)],
        )

    def add_hours(self, cursor: Any, hours: Rows) -> None:
        _insert(cursor, "errors_grouphour", ("group_id", "hour", "count"), hours, _ADD)

    def add_minutes(self, cursor: Any, minutes: Rows) -> None:
        columns = ("minute", "app_id", "severity", "count")
        _insert(cursor, "errors_minutecount", columns, minutes, _ADD)

    def add_tags(self, cursor: Any, tags: Rows) -> None:
        _insert(cursor, "errors_grouptag", ("group_id", "key", "value", "count"), tags, _ADD)


_ADD = "ON CONFLICT DO UPDATE SET count = count + excluded.count"
_ROWS_AT_ONCE = (32, 16, 8, 4, 2, 1)


@lru_cache
def _insertion(table: str, columns: tuple[str, ...], count: int, conflict: str) -> str:
    one = f"({', '.join('?' * len(columns))})"
    rows = ", ".join([one] * count)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows} {conflict}"  # noqa: S608


def _insert(
    cursor: Any, table: str, columns: tuple[str, ...], rows: Rows, conflict: str = ""
) -> None:
    """Many rows a statement, in a few sizes that stay prepared.

    The driver gives the interpreter's lock away at every step and has to win it back from all other threads; one by one,
    that took longer than the work.
    """
    start = 0
    for count in _ROWS_AT_ONCE:
        statement = _insertion(table, columns, count, conflict)
        while len(rows) - start >= count:
            cursor.execute(
                statement, [value for row in rows[start : start + count] for value in row]
            )
            start += count


def _columns(rows: Rows) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


class PostgreSQL:
    @contextmanager
    def cursor(self) -> Iterator[Any]:
        import psycopg  # not by who is on SQLite: it takes 7 MB

        # Bound and prepared by the server: planning an insert into forty partitions costs more than doing it.
        connection.ensure_connection()
        raw: psycopg.Connection[Any] = connection.connection
        if connection.settings_dict.get("OPTIONS", {}).get(
            "pool"
        ):  # without: pgbouncer may be there
            raw.prepare_threshold = 1
        with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
            yield cursor

    def moment(self, moment: datetime) -> datetime:
        return moment

    def event_id(self, event_id: str) -> UUID:
        return UUID(event_id)

    def new_ids(self, cursor: Any, seen: Rows) -> set[tuple[str, int]]:
        cursor.execute(
            "INSERT INTO errors_seenevent (event_id, app_id, event)"
            " SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) ORDER BY 1, 2"
            " ON CONFLICT DO NOTHING RETURNING event_id, app_id",
            _columns(seen),
        )
        return {(event_id.hex, app_id) for event_id, app_id in cursor.fetchall()}

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        cursor.execute(
            "SELECT id, status, severity, merged_into_id, event_count FROM errors_errorgroup"
            " WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [list(ids)],
        )
        return list(cursor.fetchall())

    def new_users(self, cursor: Any, users: Rows) -> list[int]:
        cursor.execute(
            "INSERT INTO errors_groupuser (group_id, user_key)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[]) ORDER BY 1, 2"
            " ON CONFLICT DO NOTHING RETURNING group_id",
            _columns(users),
        )
        return [group_id for (group_id,) in cursor.fetchall()]

    def together(self, cursor: Any) -> AbstractContextManager[Any]:
        pipeline: AbstractContextManager[Any] = cursor.connection.pipeline()
        return pipeline

    def insert_events(self, cursor: Any, events: Rows, payloads: Rows) -> None:
        # Not COPY: it cannot share a round trip with other statements, and that is worth more at these sizes.
        types = ("int8", "int8", "int8", "uuid", "timestamptz", *["text"] * 12)
        arrays = ", ".join(f"%s::{type}[]" for type in types)
        cursor.execute(
            f"INSERT INTO errors_errorevent ({', '.join(EVENT_COLUMNS)}) SELECT * FROM unnest({arrays})",  # noqa: S608
            _columns(events),
        )
        cursor.execute(
            f"INSERT INTO errors_eventpayload ({', '.join(PAYLOAD_COLUMNS)})"  # noqa: S608
            " SELECT * FROM unnest(%s::int8[], %s::int8[], %b::bytea[])",
            _columns(payloads),
        )

    def update_groups(self, cursor: Any, groups: Rows) -> None:
        cursor.execute(
            "UPDATE errors_errorgroup g SET event_count = g.event_count + v.events,"
            " user_count = g.user_count + v.users, first_seen_at = least(g.first_seen_at, v.first_at),"
            " last_seen_at = greatest(g.last_seen_at, v.last_at),"
            " last_release = coalesce(nullif(v.release, ''), g.last_release),"
            " last_event = greatest(g.last_event, v.last_event)"
            " FROM unnest(%s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::text[],"
            " %s::bigint[], %s::bigint[]) AS v(events, users, first_at, last_at, release, last_event, id)"
            " WHERE g.id = v.id",
            _columns(groups),
        )

    def add_hours(self, cursor: Any, hours: Rows) -> None:
        cursor.execute(
            "INSERT INTO errors_grouphour AS t (group_id, hour, count)"
            " SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[]) ORDER BY 1, 2"
            " ON CONFLICT (group_id, hour) DO UPDATE SET count = t.count + excluded.count",
            _columns(hours),
        )

    def add_minutes(self, cursor: Any, minutes: Rows) -> None:
        cursor.execute(
            "INSERT INTO errors_minutecount AS t (minute, app_id, severity, count)"
            " SELECT * FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::int[]) ORDER BY 1, 2, 3"
            " ON CONFLICT (minute, app_id, severity) DO UPDATE SET count = t.count + excluded.count",
            _columns(minutes),
        )

    def add_tags(self, cursor: Any, tags: Rows) -> None:
        cursor.execute(
            "INSERT INTO errors_grouptag AS t (group_id, key, value, count)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[]) ORDER BY 1, 2, 3"
            " ON CONFLICT (group_id, key, value) DO UPDATE SET count = t.count + excluded.count",
            _columns(tags),
        )


def dialect() -> Dialect:
    return PostgreSQL() if connection.vendor == "postgresql" else SQLite()
