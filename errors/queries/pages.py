"""Query the data of the staff pages, from roll-ups where possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet, Sum

from core.lib import app_access
from core.lib.charts import Chart, Series
from core.lib.time_ranges import time_range
from errors.models import (
    ErrorEvent,
    ErrorGroup,
    GroupHour,
    GroupNote,
    GroupTag,
    GroupUser,
    UserReport,
    hour_of,
    hour_start,
)
from errors.queries.mentions import GROUP, affected_at, describe_group, mentions_of_event
from impact.queries.figures import Amounts
from impact.queries.orders import EventCost, cost_of_mentions
from impact.queries.risk import amounts_at_risk
from impact.queries.summary import Summary, summarize

SPARK_HOURS = 24
TAG_KEYS, TAG_VALUES, TAG_ROWS = 12, 6, 600
MAX_TAG_ROWS = 10_000  # The page of all tags omits further values.
# Maps a time range to the number of hours that each bar of the group's chart covers.
HOURS_PER_BAR = {"24h": 1, "7d": 6, "30d": 24}
RANGES = tuple(HOURS_PER_BAR)


def sparklines(groups: Sequence[ErrorGroup], now: datetime) -> dict[int, list[int]]:
    """Return the number of events in each of the last 24 hours, by group id, including groups merged into the group."""
    first = hour_of(now) - SPARK_HOURS + 1
    counts = {group.pk: [0] * SPARK_HOURS for group in groups}
    shown_at = {pk: pk for pk in counts}
    for merged in ErrorGroup.objects.filter(merged_into__in=counts).only("merged_into"):
        assert merged.merged_into_id
        shown_at[merged.pk] = merged.merged_into_id
    counted = GroupHour.objects.filter(
        group_id__in=shown_at, hour__gte=first, hour__lt=first + SPARK_HOURS
    )
    for group_id, hour, count in counted.values_list("group_id", "hour", "count"):
        counts[shown_at[group_id]][hour - first] += count
    return counts


def merged_into(group: ErrorGroup) -> list[ErrorGroup]:
    return list(group.merged.order_by("pk")) if len(group.family) > 1 else []


def group_chart(group: ErrorGroup, span: str, now: datetime) -> Chart:
    length, step = time_range(span).length, HOURS_PER_BAR[span]
    bars = int(length.total_seconds()) // 3600 // step
    last = hour_of(now) // step
    first = last - bars + 1
    counts = [0] * bars
    counted = GroupHour.objects.filter(
        group_id__in=group.family, hour__gte=first * step, hour__lt=(last + 1) * step
    )
    for hour, count in counted.values_list("hour", "count"):
        counts[hour // step - first] += count
    per = "hour" if step == 1 else f"{step} hours" if step < 24 else "day"
    return Chart(
        title=f"Events per {per}",
        times=[hour_start(place * step) for place in range(first, last + 1)],
        series=[Series(f"Events per {per}", counts, kind="bars")],
        unit="events",
        empty="No events in this period. Choose a longer period.",
    )


@dataclass(frozen=True)
class TagValue:
    value: str
    count: int
    share: float  # Fraction of the counted events with this key that have this value, from 0 to 1.

    @property
    def percent(self) -> str:
        return f"{self.share * 100:.0f}" if self.share >= 0.01 else "<1"

    @property
    def label(self) -> str:
        return f"{self.percent} %, {self.count:,} events"


def tag_breakdown(group: ErrorGroup) -> list[tuple[str, list[TagValue]]]:
    """Return the most frequent tag keys, each with its most frequent values."""
    return [(key, values[:TAG_VALUES]) for key, values in _count_tags(group, TAG_ROWS)[:TAG_KEYS]]


def every_tag(group: ErrorGroup) -> list[tuple[str, list[TagValue]]]:
    """Return the tag keys with their values, most frequent first.

    Only the MAX_TAG_ROWS most frequent values are read.
    """
    return _count_tags(group, MAX_TAG_ROWS)


def _count_tags(group: ErrorGroup, limit: int) -> list[tuple[str, list[TagValue]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    counted = (
        GroupTag.objects.filter(group_id__in=group.family)
        .values_list("key", "value")
        .annotate(sum=Sum("count"))
        .order_by("-sum", "key", "value")[:limit]
    )
    for key, value, count in counted:
        found.setdefault(key, []).append((value, count))
    totals = {key: sum(count for _, count in values) for key, values in found.items()}
    return [
        (key, [TagValue(value, count, count / totals[key]) for value, count in values])
        for key, values in sorted(found.items(), key=lambda item: -totals[item[0]])
    ]


def affected_users(group: ErrorGroup, limit: int = 10, after: str = "") -> list[str]:
    """Return at most `limit` keys of affected users in alphabetical order, starting after the key `after`."""
    users = GroupUser.objects.filter(group_id__in=group.family)
    if after:
        users = users.filter(user_key__gt=after)
    keys = users.order_by("user_key").values_list("user_key", flat=True).distinct()
    return list(keys[:limit])


def latest_events(group: ErrorGroup) -> QuerySet[ErrorEvent]:
    return ErrorEvent.objects.filter(group_id__in=group.family).newest_first()


@dataclass(frozen=True)
class Neighbors:
    newer: int | None
    older: int | None


def neighbors(event: ErrorEvent) -> Neighbors:
    """Return the ids of the next newer and the next older event of the same group, or None where there is none."""
    group = event.group.merged_into or event.group
    of_group = ErrorEvent.objects.filter(group_id__in=group.family)
    return Neighbors(
        newer=of_group.filter(pk__gt=event.pk).order_by("pk").values_list("pk", flat=True).first(),
        older=of_group.filter(pk__lt=event.pk).order_by("-pk").values_list("pk", flat=True).first(),
    )


def history(group: ErrorGroup, limit: int = 50) -> list[GroupNote]:
    return list(group.notes.select_related("by").order_by("-at", "-pk")[:limit])


def reports_on(event: ErrorEvent) -> list[UserReport]:
    return list(
        UserReport.objects.filter(app=event.app_id, event_id=event.event_id).order_by("-pk")[:20]
    )


def group_impact(group: ErrorGroup, *, now: datetime) -> Summary:
    """Return the cost of the group: the orders named in its events and in the events of groups merged into it."""
    return summarize(GROUP, group.pk, describe_group(group), now=now)


def groups_at_risk(*, now: datetime, groups: Sequence[int] | None = None) -> dict[int, Amounts]:
    """Return the amounts at risk by group, for the given groups or for all groups.

    The amounts of a merged group count for the group into which it was merged.
    """
    merged = dict(
        ErrorGroup.objects.exclude(merged_into=None).values_list("pk", "merged_into_id")
        if groups is None
        else ErrorGroup.objects.filter(merged_into__in=groups).values_list("pk", "merged_into_id")
    )
    families = {pk: kept for pk, kept in merged.items() if kept is not None}
    only = None if groups is None else [*groups, *families]
    return amounts_at_risk(GROUP, now=now, problems=only, families=families)


def event_impact(event: ErrorEvent, *, now: datetime) -> EventCost:
    """Return the orders that one event affected, with their payments and reservations."""
    return cost_of_mentions(
        mentions_of_event(event), at=affected_at(event.pk, event.occurred_at), now=now
    )


def environments() -> list[str]:
    """Return the first 30 environments, in alphabetical order, with errors in apps that the user may see."""
    return list(
        app_access.limit(GroupTag.objects.filter(key="environment"))
        .order_by("value")
        .values_list("value", flat=True)
        .distinct()[:30]
    )
