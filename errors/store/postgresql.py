"""Execute the store's statements on PostgreSQL: usually two per batch, because each is a round trip to the server."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection

from errors.store.sql import EVENT_COLUMNS, PAYLOAD_COLUMNS, Batch, Row, Rows

_STATE = "id, status, severity, merged_into_id, event_count"
_NEW_IDS = f"""
    WITH fresh AS (
        INSERT INTO errors_seenevent (event_id, app_id, event)
        SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) ORDER BY 1, 2
        ON CONFLICT DO NOTHING RETURNING event_id, app_id
    ), states AS (
        SELECT {_STATE} FROM errors_errorgroup WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
    )
    SELECT event_id, app_id, 0, '', '', 0, 0 FROM fresh
    UNION ALL SELECT NULL, NULL, {_STATE} FROM states
"""  # noqa: S608
_STATES = f"SELECT {_STATE} FROM errors_errorgroup WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"  # noqa: S608
_EVENT_TYPES = ", ".join(
    f"%s::{type}[]" for type in ("int8", "int8", "int8", "uuid", "timestamptz", *["text"] * 12)
)
_ADD = f"""
    WITH events AS (
        INSERT INTO errors_errorevent ({", ".join(EVENT_COLUMNS)}) SELECT * FROM unnest({_EVENT_TYPES})
    ), payloads AS (
        INSERT INTO errors_eventpayload ({", ".join(PAYLOAD_COLUMNS)})
        SELECT * FROM unnest(%s::int8[], %s::int8[], %b::bytea[])
    ), users AS (
        INSERT INTO errors_groupuser (group_id, user_key)
        SELECT * FROM unnest(%s::bigint[], %s::text[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING RETURNING group_id
    ), gained AS (
        SELECT group_id, count(*) AS users FROM users GROUP BY group_id
    ), hours AS (
        INSERT INTO errors_grouphour AS t (group_id, hour, count)
        SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[]) ORDER BY 1, 2
        ON CONFLICT (group_id, hour) DO UPDATE SET count = t.count + excluded.count
    ), tags AS (
        INSERT INTO errors_grouptag AS t (group_id, key, value, count)
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[]) ORDER BY 1, 2, 3
        ON CONFLICT (group_id, key, value) DO UPDATE SET count = t.count + excluded.count
    ), minutes AS (
        INSERT INTO errors_minutecount AS t (minute, app_id, severity, count)
        SELECT * FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::int[]) ORDER BY 1, 2, 3
        ON CONFLICT (minute, app_id, severity) DO UPDATE SET count = t.count + excluded.count
    ), changes AS (
        INSERT INTO impact_change (source, first, last) SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])
    )
    UPDATE errors_errorgroup g SET event_count = g.event_count + v.events,
        user_count = g.user_count + coalesce(gained.users, 0), first_seen_at = least(g.first_seen_at, v.first_at),
        last_seen_at = greatest(g.last_seen_at, v.last_at), last_release = coalesce(nullif(v.release, ''), g.last_release),
        last_event = greatest(g.last_event, v.last_event)
    FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bigint[], %s::bigint[])
        AS v(events, first_at, last_at, release, last_event, id)
        LEFT JOIN gained ON gained.group_id = v.id
    WHERE g.id = v.id
"""  # noqa: S608


class PostgreSQL:
    @contextmanager
    def cursor(self) -> Iterator[Any]:
        # psycopg takes much memory, so processes that use SQLite must not import it.
        import psycopg

        # The server prepares the statements, because planning an insert
        # into many partitions takes longer than executing it.
        connection.ensure_connection()
        raw: psycopg.Connection[Any] = connection.connection
        if connection.settings_dict.get("OPTIONS", {}).get("pool"):
            # Without a pool, nothing is prepared: pgbouncer may be in use, which does not support prepared statements.
            raw.prepare_threshold = 1
        with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
            yield cursor

    def timestamp(self, value: datetime) -> str:
        return value.isoformat()

    def event_id(self, event_id: str) -> str:
        return event_id

    def new_ids(
        self, cursor: Any, seen: Rows, group_ids: Sequence[int]
    ) -> tuple[set[tuple[str, int]], list[Row]]:
        cursor.execute(_NEW_IDS, [*_columns(seen, 3), _array(group_ids)])
        fresh, states = set(), []
        for event_id, app_id, *state in cursor.fetchall():
            if event_id is None:
                states.append(tuple(state))
            else:
                fresh.add((event_id.hex, app_id))
        return fresh, states

    def group_states(self, cursor: Any, ids: Sequence[int]) -> list[Row]:
        cursor.execute(_STATES, [_array(ids)])
        return list(cursor.fetchall())

    def add(self, cursor: Any, batch: Batch) -> None:
        ids, samples, data = zip(*batch.payloads, strict=True)
        cursor.execute(
            _ADD,
            [
                *_columns(batch.events, len(EVENT_COLUMNS)),
                *(_array(ids), _array(samples), list(data)),
                *_columns(batch.users, 2),
                *_columns(batch.hours, 3),
                *_columns(batch.tags, 4),
                *_columns(batch.minutes, 4),
                *_columns([("group", *batch.to_link)] if batch.to_link else (), 3),
                *_columns(batch.groups, 6),
            ],
        )


def _columns(rows: Rows, count: int) -> list[str]:
    return [_array(column) for column in zip(*rows, strict=True)] if rows else ["{}"] * count


def _array(values: Iterable[int | str | None]) -> str:
    """Return the values as a PostgreSQL array literal.

    The driver's own conversion of lists would be a large part of the time that a batch takes.
    """
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: int | str | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
