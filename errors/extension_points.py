"""Define the hooks of `errors`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | signature of the function |
| --- | --- | --- |
| envelope_items | `@item_type("transaction", limit=1024 * 1024)` | `(ReceivedItem) -> None` |
| traced_requests | `@traced_request("logs")` | `(Project, Sequence[TracedRequest], now) -> None` |
| event_sections | `@event_section("logs")` | `(ShownEvent) -> EventSection or None` |

A handler of envelope items rejects an item by raising ValueError, TypeError, KeyError or AttributeError. Rejected items
and items without a handler are dropped and counted by type and app, and owners see the counts.
docs/howto/envelope-item.md describes how to add a handler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from core.lib.registry import Registry
from errors.ingest.authentication import Project
from errors.models import ErrorEvent


@dataclass(slots=True, frozen=True)
class ReceivedItem:
    """An envelope item, and the data from its envelope that a handler may need."""

    project: Project
    type: str
    payload: Any  # Decoded JSON, or None if the payload is invalid.
    envelope: dict[str, Any]  # Header of the envelope.
    event_id: str
    now: datetime


ItemHandler = Callable[[ReceivedItem], None]


@dataclass(slots=True, frozen=True)
class ItemType:
    name: str
    handle: ItemHandler
    limit: int  # Maximum size of the payload in bytes.
    # True if a payload contains several items, as in `application/vnd.sentry.items…`.
    is_container: bool


envelope_items: Registry[ItemType] = Registry("envelope_items")


def item_type(
    name: str, *, limit: int = 1024 * 1024, is_container: bool = False
) -> Callable[[ItemHandler], ItemHandler]:
    """Register the handler for an item type. `limit` is in bytes. With `is_container`, a payload has several items."""
    return envelope_items.decorator(
        name, lambda handler: ItemType(name, handler, limit, is_container)
    )


# --- requests of traces -------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class TracedRequest:
    """A request, page or job in a trace, as an SDK measured it. The data is not scrubbed yet."""

    name: str
    started_at: datetime
    duration_ms: float
    is_ok: bool
    trace_id: str
    span_id: str
    status_code: str
    environment: str
    release: str
    attributes: Mapping[str, Any]


TracedRequestFunction = Callable[[Project, Sequence[TracedRequest], datetime], None]

traced_requests: Registry[TracedRequestFunction] = Registry("traced_requests")


def traced_request(name: str) -> Callable[[TracedRequestFunction], TracedRequestFunction]:
    """Register a function that receives requests that belong to a trace. It must return quickly and never raise."""
    return traced_requests.decorator(name, lambda function: function)


# --- sections of the event page -----------------------------------------------------------------


@dataclass(frozen=True)
class ShownEvent:
    """The event on the page, its payload ({} if it has been deleted), and the user who views it."""

    event: ErrorEvent
    payload: Mapping[str, Any]
    user: User | AnonymousUser


@dataclass(frozen=True)
class EventSection:
    """A section of the event page. The template gets `context` under the name `section`."""

    template: str
    context: Mapping[str, Any]


SectionFunction = Callable[[ShownEvent], EventSection | None]

event_sections: Registry[SectionFunction] = Registry("event_sections")


def event_section(name: str) -> Callable[[SectionFunction], SectionFunction]:
    """Register a function that returns a section of the event page, or None if it has nothing to show."""
    return event_sections.decorator(name, lambda function: function)
