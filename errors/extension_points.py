"""The hook of errors: handlers of envelope items, each in `<app>/hooks/envelope_items.py`.

| kind | decorator | the function |
| --- | --- | --- |
| envelope_items | `@item_type("transaction", limit=1024 * 1024)` | `(Received) -> None`; ValueError or TypeError rejects the item |

Items without a handler are dropped, counted by kind and app, and shown to owners. How to add one: docs/howto/envelope-item.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.registry import Registry
from errors.ingest.authentication import Project


@dataclass(slots=True, frozen=True)
class Received:
    """One item, with what its handler may want to know about its envelope."""

    project: Project
    type: str
    payload: Any  # decoded JSON; None when it could not be read
    envelope: dict[str, Any]  # the envelope's header
    event_id: str
    now: datetime


ItemHandler = Callable[[Received], None]


@dataclass(slots=True, frozen=True)
class ItemType:
    name: str
    handle: ItemHandler
    limit: int  # bytes
    is_container: bool  # many of a kind in one payload, `application/vnd.sentry.items…`


envelope_items: Registry[ItemType] = Registry("envelope_items")


def item_type(
    name: str, *, limit: int = 1024 * 1024, is_container: bool = False
) -> Callable[[ItemHandler], ItemHandler]:
    """Register the handler of a type of item. `is_container`: its payload holds several items."""
    return envelope_items.decorator(
        name, lambda handler: ItemType(name, handler, limit, is_container)
    )
