"""Paginate by keys: each page starts after the last row of the previous page, without counting or skipping rows.

The cost of a page does not depend on its position, and new rows do not shift later pages.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)
_MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class KeysetPage(Generic[Row]):
    rows: list[Row]
    next_cursor: str  # Empty on the last page.


def keyset_page(
    rows: "QuerySet[Row, Row]", *, field: str, cursor: str, size: int
) -> "KeysetPage[Row]":
    """Return the rows after `cursor` ("" for the first page), ordered by `field` and then primary key, descending.

    Return the first page if the cursor is invalid.
    """
    rows = rows.order_by(f"-{field}", "-pk")
    after = _read(rows.model, field, cursor)
    if after:
        value, key = after
        # `field <= value` lets the database use an index range. The exclusion drops the rows with the same value that
        # were on the previous page.
        rows = rows.filter(**{f"{field}__lte": value}).exclude(**{field: value, "pk__gte": key})
    found = list(rows[: size + 1])
    has_more = len(found) > size
    return KeysetPage(found[:size], _write(found[size - 1], field) if has_more else "")


def newest_page(rows: "QuerySet[Row, Row]", *, cursor: str, size: int) -> "KeysetPage[Row]":
    """Return the rows before `cursor`, a primary key ("" for the first page), the highest primary key first.

    Return the first page if the cursor is invalid.
    """
    if cursor.isascii() and cursor.isdecimal() and len(cursor) < 20:
        rows = rows.filter(pk__lt=min(int(cursor), _MAX_ID))
    found = list(rows.order_by("-pk")[: size + 1])
    has_more = len(found) > size
    return KeysetPage(found[:size], str(found[size - 1].pk) if has_more else "")


def _write(row: Model, field: str) -> str:
    value = getattr(row, field)
    return f"{value.isoformat() if isinstance(value, datetime) else value}~{row.pk}"


def _read(model: type[Model], field: str, cursor: str) -> tuple[Any, int] | None:
    value, _, key = cursor.rpartition("~")
    to_python: Callable[[object], Any] = model._meta.get_field(field).to_python  # type: ignore[union-attr]
    try:
        return to_python(value), int(key)
    except Exception:
        return None
