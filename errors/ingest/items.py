"""The registry of envelope items. Register the handler of a type with `@item_type("transaction")`.

Items without a handler are dropped, counted by type and app, and shown to owners.
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


registry: Registry[ItemType] = Registry("envelope_items")


def item_type(
    name: str, *, limit: int = 1024 * 1024, is_container: bool = False
) -> Callable[[ItemHandler], ItemHandler]:
    def register(handler: ItemHandler) -> ItemHandler:
        registry.add(name, ItemType(name, handler, limit, is_container))
        return handler

    return register
