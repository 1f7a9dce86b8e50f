"""Read error counts by time and severity, from roll-ups wherever possible."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import Coalesce

from core.clients.models import ClientApp
from core.lib.app_access import limit
from errors.models import (
    ErrorEvent,
    HourCount,
    MinuteCount,
    QuarterCount,
    Severity,
    hour_of,
    minute_of,
)
from errors.services.count_rollups import ROLLUPS, first_pending_minute


def count(
    since: datetime, until: datetime, *severities: Severity, app: ClientApp | None = None
) -> int:
    """Return the number of errors received in the period, of these severities or, if none is given, of all severities.

    The period is extended to whole minutes.
    """
    rows = limit(MinuteCount.objects.between(since, until))
    if severities:
        rows = rows.filter(severity__in=severities)
    if app is not None:
        rows = rows.filter(app=app)
    return rows.aggregate(sum=Sum("count"))["sum"] or 0


WARNING_PER_MINUTE = 0.5
_RATE_PERIOD = timedelta(minutes=5)


def rate_now(now: datetime) -> float:
    """Return the mean number of errors per minute over _RATE_PERIOD, counting severity warning and above.

    As in `count`, the period is extended to whole minutes, so the result may be slightly too high.
    """
    severities = [one for one in Severity if one is not Severity.INFO]
    return count(now - _RATE_PERIOD, now, *severities) / (_RATE_PERIOD / timedelta(minutes=1))


def count_in_hour(timestamp: datetime, *severities: Severity) -> int:
    """Return the number of errors, of these or all severities, in the clock hour that contains `timestamp`.

    Only hours that are rolled up are counted.
    """
    rows = limit(HourCount.objects.filter(hour=hour_of(timestamp)))
    rows = rows.filter(severity__in=severities or Severity)
    return rows.aggregate(sum=Sum("count"))["sum"] or 0


def count_by_group(since: datetime, until: datetime) -> dict[int, int]:
    """Return the number of stored events received from `since` to before `until`, by group.

    Events of a merged group count for the group into which it was merged.
    """
    group = Coalesce("group__merged_into_id", "group_id")
    rows = (
        limit(ErrorEvent.objects.received_between(since, until))
        .values_list(group)
        .annotate(count=Count("pk"))
        .order_by()
    )
    return dict(rows)


def count_by_severity(since: datetime, until: datetime) -> dict[Severity, int]:
    found = dict(
        limit(MinuteCount.objects.between(since, until))
        .values_list("severity")
        .annotate(sum=Sum("count"))
        .order_by()
    )
    return {severity: found.get(severity.value, 0) for severity in Severity}


def step_for(span: timedelta) -> timedelta:
    """Return the width of a chart's slots for this span: from one minute (up to 2 hours) to 6 hours (over 8 days)."""
    if span <= timedelta(hours=2):
        return timedelta(minutes=1)
    if span <= timedelta(hours=36):
        return timedelta(minutes=15)
    return timedelta(hours=1) if span <= timedelta(days=8) else timedelta(hours=6)


def slots(
    since: datetime, until: datetime, step: timedelta, *, app: ClientApp | None = None
) -> dict[Severity, dict[datetime, int]]:
    """Return the number of errors by severity and by the start of each slot of length `step`, including empty slots."""
    width = int(step.total_seconds()) // 60
    first, last = minute_of(since) // width, minute_of(until) // width
    starts = {
        slot: datetime.fromtimestamp(slot * width * 60, UTC) for slot in range(first, last + 1)
    }
    found: dict[Severity, dict[datetime, int]] = {
        severity: dict.fromkeys(starts.values(), 0) for severity in Severity
    }
    from_minute, end = first * width, (last + 1) * width
    rollup = next((one for one in (HourCount, QuarterCount) if width % ROLLUPS[one][1] == 0), None)
    if rollup is not None:
        name, length = ROLLUPS[rollup]
        known = min(first_pending_minute(rollup), end)
        period = {f"{name}__gte": from_minute // length, f"{name}__lt": known // length}
        rows = limit(rollup._default_manager.filter(**period))
        _add(found, starts, rows.annotate(slot=F(name) * length / width), app)
        from_minute = max(from_minute, known)
    minutes = limit(MinuteCount.objects.filter(minute__gte=from_minute, minute__lt=end))
    _add(found, starts, minutes.annotate(slot=F("minute") / width), app)
    return found


def _add(
    found: dict[Severity, dict[datetime, int]],
    starts: dict[int, datetime],
    rows: QuerySet[Any],
    app: ClientApp | None,
) -> None:
    if app is not None:
        rows = rows.filter(app=app)
    for slot, severity, number in (
        rows.values_list("slot", "severity").annotate(sum=Sum("count")).order_by()
    ):
        found[Severity(severity)][starts[slot]] += number
