"""The hook of errors: handlers of envelope items, each in `<app>/hooks/envelope_items.py`.

| kind | decorator | the function |
| --- | --- | --- |
| envelope_items | `@item_type("transaction", limit=1024 * 1024)` | `(ReceivedItem) -> None`; ValueError or TypeError rejects it |

Items without a handler are dropped, counted by type and app, and shown to owners. How to add one: docs/howto/envelope-item.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.registry import Registry
from errors.ingest.authentication import Project


@dataclass(slots=True, frozen=True)
class ReceivedItem:
    """One item, with the data of its envelope that a handler may need."""

    project: Project
    type: str
    payload: Any  # decoded JSON; None if it is invalid
    envelope: dict[str, Any]  # the envelope's header
    event_id: str
    now: datetime


ItemHandler = Callable[[ReceivedItem], None]


@dataclass(slots=True, frozen=True)
class ItemType:
    name: str
    handle: ItemHandler
    limit: int  # bytes
    is_container: bool  # several items in one payload, `application/vnd.sentry.items…`


envelope_items: Registry[ItemType] = Registry("envelope_items")


def item_type(
    name: str, *, limit: int = 1024 * 1024, is_container: bool = False
) -> Callable[[ItemHandler], ItemHandler]:
    """Register the handler of a type of item. `is_container`: its payload holds several items."""
    return envelope_items.decorator(
        name, lambda handler: ItemType(name, handler, limit, is_container)
    )
