"""Roll up counts per minute into counts per quarter of an hour and per hour, so that charts read far fewer rows.

Ingestion writes only counts per minute. Charts use them for the time after the newest rolled-up quarter or hour.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Max, Sum

from core.lib.upsert import upsert
from errors.models import HourCount, MinuteCount, QuarterCount, hour_of

QUARTER_MINUTES, HOUR_MINUTES = 15, 60
Rollup = type[QuarterCount] | type[HourCount]
# The name of the time column of each roll-up, and the length of its periods in minutes.
ROLLUPS: dict[Rollup, tuple[str, int]] = {
    QuarterCount: ("quarter", QUARTER_MINUTES),
    HourCount: ("hour", HOUR_MINUTES),
}
# Each run rolls up this many recent hours again, because a late commit may belong to an hour that has ended.
RECOMPUTE_HOURS = 26


def first_pending_minute(rollup: Rollup) -> int:
    """Return the number of the first minute that is not rolled up yet, or 0 if no minute is rolled up."""
    name, length = ROLLUPS[rollup]
    newest: int | None = rollup._default_manager.aggregate(newest=Max(name))["newest"]
    return 0 if newest is None else (newest + 1) * length


@transaction.atomic
def roll_up(*, now: datetime, everything: bool = False) -> int:
    """Roll up all hours that have ended since the last run, and the last RECOMPUTE_HOURS again.

    With `everything`, roll up every hour, which is necessary after an import of old events. Return the number of rows.
    """
    return sum(_roll_up(rollup, now, everything=everything) for rollup in ROLLUPS)


def _roll_up(rollup: Rollup, now: datetime, *, everything: bool) -> int:
    name, length = ROLLUPS[rollup]
    end = hour_of(now) * HOUR_MINUTES
    recent = end - RECOMPUTE_HOURS * HOUR_MINUTES
    first = 0 if everything else min(first_pending_minute(rollup), recent)
    sums = (
        MinuteCount.objects.filter(minute__gte=first, minute__lt=end)
        .annotate(period=F("minute") / length)
        .values_list("period", "app_id", "severity")
        .annotate(sum=Sum("count"))
        .order_by()
    )
    rows = [
        {name: period, "app": app_id, "severity": severity, "count": number}
        for period, app_id, severity, number in sums
    ]
    upsert(rollup, rows, key=[name, "app", "severity"], replace=["count"])
    return len(rows)
