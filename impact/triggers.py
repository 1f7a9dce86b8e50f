"""Create database triggers that record the changed rows of a source in the transaction that changes them.

A trigger covers all code: services, the hand-written SQL that reserves tickets, and code that is added later. A trigger
costs one insert. Migrations on SQLite copy a table and drop its triggers, so they are created again after every
`migrate`.
"""

from typing import Any

from django.apps import AppConfig
from django.db import connections

from impact.extension_points import Watch, order_sources, problem_sources

LAST_ID = 2**63 - 1


def create_triggers(sender: AppConfig, *, using: str, **signal: object) -> None:
    """Create the triggers for all sources whose tables exist.

    Record all rows of a watched table that had no trigger before, unless the watch does not see inserts.
    """
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if "impact_change" not in tables:
        return
    watches = [(source.name, watch) for source in order_sources for watch in source.watches]
    watches += [(source.kind, watch) for source in problem_sources for watch in source.watches]
    with connection.cursor() as cursor:
        known = _known_triggers(cursor, connection.vendor)
        # At the first start, all existing rows of sources without watched tables must be read.
        if not known:
            for source in problem_sources:
                if not source.watches:
                    _insert(cursor, source.kind, "VALUES (%s, 0, %s)", [source.kind, LAST_ID])
        for name, watch in watches:
            if watch.table not in tables:
                continue
            for statement in (_on_postgresql if connection.vendor == "postgresql" else _on_sqlite)(
                name, watch
            ):
                cursor.execute(statement)
            is_new = not any(trigger.startswith(f"impact_{watch.table}") for trigger in known)
            if is_new and watch.sees_inserts:
                column = connection.ops.quote_name(watch.column)
                rows = f'SELECT %s, {column}, {column} FROM "{watch.table}"'  # noqa: S608
                _insert(cursor, name, rows, [name])


def _known_triggers(cursor: Any, vendor: str) -> set[str]:
    catalog = {
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'impact_%%'",
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'impact_%%'",
    }
    cursor.execute(catalog[vendor], [])
    return {name for (name,) in cursor.fetchall()}


def _insert(cursor: Any, source: str, rows: str, values: list[Any]) -> None:
    cursor.execute(f"INSERT INTO impact_change (source, first, last) {rows}", values)


def _names(name: str, watch: Watch) -> tuple[str, str, str]:
    trigger = f"impact_{watch.table}"
    columns = ", ".join(f'"{column}"' for column in watch.columns)
    values = f'\'{name}\', NEW."{watch.column}", NEW."{watch.column}"'
    return trigger, columns, f"INSERT INTO impact_change (source, first, last) VALUES ({values})"  # noqa: S608


def _on_sqlite(name: str, watch: Watch) -> list[str]:
    trigger, columns, insert = _names(name, watch)
    events = [(f"UPDATE OF {columns}", "changed")]
    if watch.sees_inserts:
        events.append(("INSERT", "added"))
    return [
        statement
        for event, suffix in events
        for statement in (
            f"DROP TRIGGER IF EXISTS {trigger}_{suffix}",
            f'CREATE TRIGGER {trigger}_{suffix} AFTER {event} ON "{watch.table}" BEGIN {insert}; END',
        )
    ]


def _on_postgresql(name: str, watch: Watch) -> list[str]:
    trigger, columns, insert = _names(name, watch)
    events = "INSERT OR UPDATE" if watch.sees_inserts else "UPDATE"
    return [
        f"CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {insert}; RETURN NULL; END $$",
        f'CREATE OR REPLACE TRIGGER {trigger} AFTER {events} OF {columns} ON "{watch.table}"'
        f" FOR EACH ROW EXECUTE FUNCTION {trigger}()",
    ]
