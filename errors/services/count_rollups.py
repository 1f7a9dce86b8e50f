"""Roll up counts per minute into counts per hour, so that the chart of a month reads far fewer rows.

Ingestion writes only counts per minute. Charts use them for the time after the newest rolled-up hour.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Max, Sum

from core.lib.upsert import upsert
from errors.models import HourCount, MinuteCount, hour_of

# Each run rolls up this many recent hours again, because a late commit may belong to an hour that has ended.
RECOMPUTE_HOURS = 26


def first_pending_hour() -> int:
    """Return the number of the first hour that is not rolled up yet, or 0 if no hour is rolled up."""
    newest: int | None = HourCount.objects.aggregate(newest=Max("hour"))["newest"]
    return 0 if newest is None else newest + 1


@transaction.atomic
def roll_up(*, now: datetime, everything: bool = False) -> int:
    """Roll up all hours that have ended since the last run, and the last RECOMPUTE_HOURS again.

    With `everything`, roll up every hour, which is necessary after an import of old events. Return the number of rows.
    """
    this_hour = hour_of(now)
    first = 0 if everything else min(first_pending_hour(), this_hour - RECOMPUTE_HOURS)
    sums = (
        MinuteCount.objects.filter(minute__gte=first * 60, minute__lt=this_hour * 60)
        .annotate(hour=F("minute") / 60)
        .values_list("hour", "app_id", "severity")
        .annotate(sum=Sum("count"))
        .order_by()
    )
    rows = [
        {"hour": hour, "app": app_id, "severity": severity, "count": number}
        for hour, app_id, severity, number in sums
    ]
    upsert(HourCount, rows, key=["hour", "app", "severity"], replace=["count"])
    return len(rows)
