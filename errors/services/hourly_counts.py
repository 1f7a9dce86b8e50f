"""Hours that are over, added up from their minutes: reading a month is a few thousand rows instead of half a million.

Taking errors pays nothing for it. Whoever reads takes hours as far as they are added up, and minutes from there on.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Max, Sum

from core.lib.upsert import upsert
from errors.models import HourCount, MinuteCount, hour_of

RECOMPUTE_HOURS = 26  # hours: what was taken just before an hour's end may be committed after it


def first_pending_hour() -> int:
    """The first hour that is not added up yet; 0 when none is."""
    newest: int | None = HourCount.objects.aggregate(newest=Max("hour"))["newest"]
    return 0 if newest is None else newest + 1


@transaction.atomic
def roll_up(*, now: datetime, everything: bool = False) -> int:
    """Add up every hour that is over and new, and the last day's once more; how many counts were written.

    `everything` is for whoever wrote into minutes long ago, such as an import.
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
