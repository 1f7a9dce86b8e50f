"""List the events of many groups, newest first. Events have no index by app, because it would slow down ingestion.

The queries use the index of events by group and id (`events_of_group`). They first find the newest event of each group,
and then the events of the page. Groups are read by the time of their last event, newest first, until the remaining
groups can have no event on the page.
"""

from datetime import datetime, timedelta
from itertools import islice

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from core.lib.keyset import KeysetPage
from errors.models import ErrorEvent, ErrorGroup, received_id

CHUNK_SIZE = 200
_MAX_ID = 2**63 - 1
_Newest = tuple[int, int]  # Consists of an event's id and its group's id.


def event_page(
    groups: QuerySet[ErrorGroup],
    *,
    since: datetime | None,
    until: datetime | None,
    cursor: str,
    size: int,
) -> KeysetPage[ErrorEvent]:
    """Return events of these groups and of groups merged into them, received from `since` to before `until`.

    `cursor` is the `next_cursor` of the previous page. An invalid cursor returns the first page.
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
    found = _groups_by_newest_event(groups, first, before, count)
    if not found:
        return []
    # If `count` groups were found, each has an event at or after `floor`, so older events are not among the newest.
    floor = found[-1][0] if len(found) == count else first
    table = ErrorEvent._meta.db_table
    of_group = (
        f"SELECT id FROM (SELECT id FROM {table}"  # noqa: S608 - the names are ours
        " WHERE group_id = %s AND id >= %s AND id <= %s ORDER BY id DESC LIMIT %s) newest"
    )
    parameters = [one for newest, group_id in found for one in (group_id, floor, newest, count)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"{' UNION ALL '.join([of_group] * len(found))} ORDER BY id DESC LIMIT {count:d}",
            parameters,
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    return list(ErrorEvent.objects.filter(pk__in=ids).newest_first())


def _groups_by_newest_event(
    groups: QuerySet[ErrorGroup], first: int, before: int, count: int
) -> list[_Newest]:
    """Find the newest event of each group with an id from `first` to before `before`. Return the `count` newest."""
    kept = Coalesce("merged_into_id", "pk")
    family = ErrorGroup.objects.alias(kept=kept).filter(kept__in=groups.order_by().values("pk"))
    seen = iter(family.order_by("-last_seen_at").values_list("pk", "last_seen_at"))
    in_range = ErrorEvent.objects.filter(group_id=OuterRef("pk"), pk__gte=first, pk__lt=before)
    newest_id = Subquery(in_range.order_by("-pk").values("pk")[:1])
    found: list[_Newest] = []
    while chunk := list(islice(seen, CHUNK_SIZE)):
        # No event of the groups in this chunk or a later chunk has an id above `highest`.
        highest = received_id(chunk[0][1] + timedelta(milliseconds=1))
        if highest < first or (len(found) == count and highest < found[-1][0]):
            break
        rows = ErrorGroup.objects.filter(pk__in=[pk for pk, _ in chunk])
        of_chunk = rows.values_list(newest_id, "pk")
        found += [(newest, pk) for newest, pk in of_chunk if newest is not None]
        found = sorted(found, reverse=True)[:count]
    return found
