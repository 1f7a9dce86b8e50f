"""Reads the roll-ups: how many errors, when, how bad. Never the events themselves."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from errors.models import GroupHour, MinuteCount, Severity, hour_of, hour_start, minute_of
from opsportal.clients.models import ClientApp


def count(
    since: datetime, until: datetime, *severities: Severity, app: ClientApp | None = None
) -> int:
    """Errors received in the span (by the minute), of these severities or of all."""
    rows = MinuteCount.objects.between(since, until)
    if severities:
        rows = rows.filter(severity__in=severities)
    if app is not None:
        rows = rows.filter(app=app)
    return rows.aggregate(sum=Sum("count"))["sum"] or 0


def count_by_severity(since: datetime, until: datetime) -> dict[Severity, int]:
    found = dict(
        MinuteCount.objects.between(since, until)
        .values_list("severity")
        .annotate(sum=Sum("count"))
        .order_by()
    )
    return {severity: found.get(severity.value, 0) for severity in Severity}


def step_for(span: timedelta) -> timedelta:
    """How wide a chart's slots are, so that it has some sixty to two hundred of them."""
    if span <= timedelta(hours=2):
        return timedelta(minutes=1)
    if span <= timedelta(hours=36):
        return timedelta(minutes=15)
    return timedelta(hours=1) if span <= timedelta(days=8) else timedelta(hours=6)


def slots(
    since: datetime, until: datetime, step: timedelta, *, app: ClientApp | None = None
) -> dict[Severity, dict[datetime, int]]:
    """Errors per severity and slot of `step`, every slot present."""
    width = int(step.total_seconds()) // 60
    first, last = minute_of(since) // width, minute_of(until) // width
    starts = {
        slot: datetime.fromtimestamp(slot * width * 60, UTC) for slot in range(first, last + 1)
    }
    found: dict[Severity, dict[datetime, int]] = {
        severity: dict.fromkeys(starts.values(), 0) for severity in Severity
    }
    rows = MinuteCount.objects.filter(minute__gte=first * width, minute__lt=(last + 1) * width)
    if app is not None:
        rows = rows.filter(app=app)
    sums = rows.values_list("minute", "severity").annotate(sum=Sum("count")).order_by()
    for minute, severity, number in sums:
        found[Severity(severity)][starts[minute // width]] += number
    return found


def group_hours(group_ids: Iterable[int], since: datetime, until: datetime) -> dict[int, list[int]]:
    """For each group its events per hour, oldest first, every hour present: sparklines in one query."""
    first, last = hour_of(since), hour_of(until)
    found = {group_id: [0] * (last - first + 1) for group_id in group_ids}
    rows = GroupHour.objects.filter(group_id__in=list(found), hour__gte=first, hour__lte=last)
    for group_id, hour, number in rows.values_list("group_id", "hour", "count"):
        found[group_id][hour - first] = number
    return found


def hours_between(since: datetime, until: datetime) -> list[datetime]:
    return [hour_start(hour) for hour in range(hour_of(since), hour_of(until) + 1)]
