"""Mark stored events whose frames a source map may resolve, in the store's transaction.

For an event of an app without source maps, the cost is only a lookup in a set.
"""

import time
from collections.abc import Iterable

from errors.event.new_event import NewEvent
from errors.models import ArtifactBundle, EventToResolve

PLATFORMS = frozenset(("javascript", "node"))
REFRESH_SECONDS = 5.0

_apps: frozenset[int] = frozenset()
_refreshed_at = 0.0


def clear() -> None:
    """Make the next batch read again which apps have source maps."""
    global _refreshed_at
    _refreshed_at = 0.0


def _apps_with_source_maps() -> frozenset[int]:
    global _apps, _refreshed_at
    now = time.monotonic()
    if not _refreshed_at or now - _refreshed_at > REFRESH_SECONDS:
        found = ArtifactBundle.objects.order_by().values_list("app_id", flat=True).distinct()
        _apps, _refreshed_at = frozenset(found), now
    return _apps


def may_be_minified(event: NewEvent) -> bool:
    return event.platform in PLATFORMS and event.app_id in _apps_with_source_maps()


def mark(events: Iterable[tuple[NewEvent, int]]) -> int:
    """Mark the events that may be resolved, and return their number. Call this in the store's transaction."""
    apps = _apps_with_source_maps()
    if not apps:
        return 0
    rows = [
        EventToResolve(event_id=id)
        for event, id in events
        if event.app_id in apps and event.platform in PLATFORMS
    ]
    EventToResolve.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)
