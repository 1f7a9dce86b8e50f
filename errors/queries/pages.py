"""Queries of the staff pages. They use roll-ups where possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Sum

from alerts.extension_points import Impact, References
from alerts.queries.impact import impact_of
from core.lib.charts import Chart, Series
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

SPARK_HOURS = 24
TAG_KEYS, TAG_VALUES, TAG_ROWS = 12, 6, 600
REFERENCES = 500  # the newest events whose references are resolved
SPANS = {  # of the group's chart: length, hours per bar
    "24h": (timedelta(hours=24), 1),
    "7d": (timedelta(days=7), 6),
    "30d": (timedelta(days=30), 24),
}


def sparklines(groups: Sequence[ErrorGroup], now: datetime) -> dict[int, list[int]]:
    """Return the events per hour of the last day by group id, including the groups merged into it."""
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
    length, step = SPANS[span]
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
        empty="No events in this period. Choose a longer one.",
    )


@dataclass(frozen=True)
class TagValue:
    value: str
    count: int
    share: float  # of the key's counted events

    @property
    def percent(self) -> str:
        return f"{self.share * 100:.0f}" if self.share >= 0.01 else "<1"

    @property
    def label(self) -> str:
        return f"{self.percent} %, {self.count:,} events"


def tag_breakdown(group: ErrorGroup) -> list[tuple[str, list[TagValue]]]:
    """Return the most frequent tag keys, each with its most frequent values."""
    found: dict[str, list[tuple[str, int]]] = {}
    counted = (
        GroupTag.objects.filter(group_id__in=group.family)
        .values_list("key", "value")
        .annotate(sum=Sum("count"))
        .order_by("-sum")[:TAG_ROWS]
    )
    for key, value, count in counted:
        found.setdefault(key, []).append((value, count))
    totals = {key: sum(count for _, count in values) for key, values in found.items()}
    return [
        (key, [TagValue(value, count, count / totals[key]) for value, count in values[:TAG_VALUES]])
        for key, values in sorted(found.items(), key=lambda item: -totals[item[0]])[:TAG_KEYS]
    ]


def affected_users(group: ErrorGroup, limit: int = 10) -> list[str]:
    return list(
        GroupUser.objects.filter(group_id__in=group.family)
        .values_list("user_key", flat=True)
        .distinct()[:limit]
    )


def latest_events(group: ErrorGroup) -> QuerySet[ErrorEvent]:
    return ErrorEvent.objects.filter(group_id__in=group.family).newest_first()


@dataclass(frozen=True)
class Neighbors:
    newer: int | None
    older: int | None


def neighbors(event: ErrorEvent) -> Neighbors:
    """Return the ids of the events before and after this one in its group."""
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


def group_impact(group: ErrorGroup) -> Impact:
    """Return the payments and reservations that the group's newest events refer to."""
    with_references = ErrorEvent.objects.filter(
        ~Q(order_ref="") | ~Q(payment_ref="") | ~Q(reservation_ref=""), group_id__in=group.family
    ).newest_first()
    rows = list(
        with_references.values_list("order_ref", "payment_ref", "reservation_ref", "request_id")[
            :REFERENCES
        ]
    )
    return _impact(rows)


def event_impact(event: ErrorEvent) -> Impact:
    return _impact([(event.order_ref, event.payment_ref, event.reservation_ref, event.request_id)])


def _impact(rows: Sequence[tuple[str, str, str, str]]) -> Impact:
    orders, payments, reservations, requests = (
        frozenset(row[place] for row in rows) - {""} for place in range(4)
    )
    if not (orders or payments or reservations or requests):
        return Impact()
    return impact_of(
        References(
            order_ids=orders,
            payment_ids=payments,
            reservation_ids=reservations,
            request_ids=requests,
        )
    )


def environments() -> list[str]:
    """Return the environments in which errors have occurred."""
    return list(
        GroupTag.objects.filter(key="environment")
        .order_by("value")
        .values_list("value", flat=True)
        .distinct()[:30]
    )
