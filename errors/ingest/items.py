"""The registry of envelope items: what a kind of item becomes. `@item_type("transaction")` on a handler, that is all.

What has no handler is dropped, counted by kind and app, and shown to owners.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.registry import Registry
from errors.ingest.authentication import Project


@dataclass(slots=True, frozen=True)
class ReceivedItem:
    """One item, with what its handler may want to know about its envelope."""

    project: Project
    type: str
    payload: Any  # decoded JSON; None when it could not be read
    envelope: dict[str, Any]  # the envelope's header
    event_id: str
    now: datetime


ItemHandler = Callable[[ReceivedItem], None]


@dataclass(slots=True, frozen=True)
class ItemType:
    name: str
    handle: ItemHandler
    limit: int  # bytes
    is_container: bool  # many of a kind in one payload, `application/vnd.sentry.items…`


registry: Registry[ItemType] = Registry("envelope_items")


def item_type(
    name: str, *, limit: int = 1024 * 1024, is_container: bool = False
) -> Callable[[ItemHandler], ItemHandler]:
    def register(handler: ItemHandler) -> ItemHandler:
        registry.add(name, ItemType(name, handler, limit, is_container))
        return handler

    return register
