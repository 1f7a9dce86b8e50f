"""List the events of many errors, newest first, without an index by app on the busiest table.

The index of events by group and id (`events_of_group`) finds the newest event of each error, and the events of the
errors on a page. The time of an error's last event bounds the errors that can be on it.
"""

from datetime import datetime, timedelta
from itertools import islice

from django.db.models import OuterRef, Q, QuerySet, Subquery

from core.lib.keyset import KeysetPage
from errors.models import ErrorEvent, ErrorGroup, received_id

CHUNK_SIZE = 500
_MAX_ID = 2**63 - 1
_Newest = tuple[int, int]  # the id of an event, and of its group


def event_page(
    groups: QuerySet[ErrorGroup],
    *,
    since: datetime | None,
    until: datetime | None,
    cursor: str,
    size: int,
) -> KeysetPage[ErrorEvent]:
    """Return events of these groups, and of those merged into them, received from `since` to before `until`.

    `cursor` is the `next_cursor` of the previous page. An invalid one returns the first page.
    """
    first = received_id(since) if since else 0
    before = min(received_id(until) if until else _MAX_ID, _MAX_ID)
    if cursor.isascii() and cursor.isdecimal() and len(cursor) < 20:
        before = min(before, int(cursor))
    found = _newest_events(groups, first, before, size + 1)
    has_more = len(found) > size
    return KeysetPage(found[:size], str(found[size - 1].pk) if has_more else "")


def _newest_events(
    groups: QuerySet[ErrorGroup], first: int, before: int, count: int
) -> list[ErrorEvent]:
    found: list[ErrorEvent] = []
    for newest, group_id in _groups_by_newest_event(groups, first, before, count):
        if len(found) == count and found[-1].pk > newest:
            break
        of_group = ErrorEvent.objects.filter(group_id=group_id, pk__gte=first, pk__lte=newest)
        found = sorted(
            [*found, *of_group.order_by("-pk")[:count]], key=lambda event: event.pk, reverse=True
        )[:count]
    return found


def _groups_by_newest_event(
    groups: QuerySet[ErrorGroup], first: int, before: int, count: int
) -> list[_Newest]:
    """Return up to `count` groups with the newest events in the range of ids, and the ids of these events."""
    ids = groups.order_by().values("pk")
    family = ErrorGroup.objects.filter(Q(pk__in=ids) | Q(merged_into__in=ids))
    seen = family.order_by("-last_seen_at").values_list("pk", "last_seen_at").iterator()
    in_range = ErrorEvent.objects.filter(group_id=OuterRef("pk"), pk__gte=first, pk__lt=before)
    newest_id = Subquery(in_range.order_by("-pk").values("pk")[:1])
    found: list[_Newest] = []
    while chunk := list(islice(seen, CHUNK_SIZE)):
        # No event of this chunk or of a later one has a higher id.
        highest = received_id(chunk[0][1] + timedelta(milliseconds=1))
        if highest < first or (len(found) == count and highest < found[-1][0]):
            break
        rows = ErrorGroup.objects.filter(pk__in=[pk for pk, _ in chunk]).annotate(newest=newest_id)
        of_chunk = rows.exclude(newest=None).values_list("newest", "pk")
        found = sorted([*found, *of_chunk], reverse=True)[:count]
    return found
