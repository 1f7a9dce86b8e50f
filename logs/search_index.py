"""Maintain the full-text index of log entries: FTS5 on SQLite, a GIN index on PostgreSQL. Both find words by prefix.

Words are sequences of letters and digits, in lower case. On SQLite, the index is a separate table that this module
updates explicitly; triggers are not used, because Django drops them when it rebuilds a table.
"""

import re
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

_WORD = re.compile(r"[^\W_]+")
_COLUMNS = "id, body, attribute_words"

# The index in migration 0001 has the same expression. PostgreSQL uses the index only for this expression.
VECTOR = (
    "to_tsvector('simple'::regconfig, regexp_replace(lower(logs_logentry.body || ' ' ||"
    " logs_logentry.attribute_words), '[^[:alnum:]]+', ' ', 'g'))"
)
CREATE_SQLITE = (
    "CREATE VIRTUAL TABLE logs_words USING fts5(body, attribute_words, content='logs_logentry',"
    " content_rowid='id', tokenize='unicode61 remove_diacritics 0')"
)
CREATE_POSTGRESQL = (
    f"CREATE INDEX logs_words ON logs_logentry USING gin ({VECTOR.replace('logs_logentry.', '')})"
)


def split(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def add(ids: Sequence[int]) -> None:
    """Add new entries to the index. Call this after inserting them, in the same transaction."""
    _write("INSERT INTO logs_words (rowid, body, attribute_words)", f"SELECT {_COLUMNS}", ids)


def remove(ids: Sequence[int]) -> None:
    """Remove entries from the index. Call this before deleting them, in the same transaction."""
    _write(
        "INSERT INTO logs_words (logs_words, rowid, body, attribute_words)",
        f"SELECT 'delete', {_COLUMNS}",
        ids,
    )


def purge() -> None:
    """Erase the words of removed entries from SQLite's file, where FTS5 keeps them until it merges its segments.

    This merges all segments, which blocks other writers for seconds if there are hundreds of thousands of entries.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO logs_words (logs_words) VALUES ('optimize')")


def _write(insert: str, select: str, ids: Sequence[int]) -> None:
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(f"{insert} {select} FROM logs_logentry WHERE id IN ({marks})", some)


def matching(phrases: Iterable[Sequence[str]]) -> Q | RawSQL:
    """Return a filter for the entries that contain every phrase. The last word of a phrase may be a prefix."""
    if connection.vendor == "sqlite":
        query = " ".join(f'"{" ".join(words)}" *' for words in phrases)
        found = RawSQL("SELECT rowid FROM logs_words WHERE logs_words MATCH %s", [query])
        return Q(pk__in=found)
    query = " & ".join(f"({' <-> '.join([*words[:-1], f'{words[-1]}:*'])})" for words in phrases)
    return RawSQL(  # noqa: S611
        f"{VECTOR} @@ to_tsquery('simple', %s)", [query], output_field=BooleanField()
    )
