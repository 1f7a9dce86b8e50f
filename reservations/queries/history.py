"""Build the chart of an event's reserved, sold and expired seats over time."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from core.lib.charts import Chart, Series
from reservations.models import Event, Line, Status
from reservations.models.holds import KEPT

HOURLY_UP_TO = timedelta(days=7)


def build_event_chart(event: Event, *, since: datetime, now: datetime) -> Chart:
    """Build a chart of the event's seats per hour, or per day for periods of more than a week."""
    is_hourly = now - since <= HOURLY_UP_TO
    lines = Line.objects.filter(ticket_type__event=event)
    truncate: Callable[..., TruncHour | TruncDay] = TruncHour if is_hourly else TruncDay

    def seats(of: QuerySet[Line], field: str) -> dict[datetime, int]:
        within = of.filter(**{f"reservation__{field}__gte": times[0]})
        found = within.annotate(slot=truncate(f"reservation__{field}")).values_list("slot")
        return dict(found.annotate(seats=Sum(KEPT)).order_by())

    times = _slots(since, now, hourly=is_hourly)
    held = seats(lines, "created_at")
    sold = seats(lines.filter(reservation__status=Status.COMPLETED), "ended_at")
    lost = seats(lines.filter(reservation__status=Status.EXPIRED), "ended_at")
    return Chart(
        f"Seats per {'hour' if is_hourly else 'day'}",
        times,
        [
            Series("reserved", [held.get(slot, 0) for slot in times], kind="line"),
            Series("sold", [sold.get(slot, 0) for slot in times], kind="area", tone="ok"),
            Series("expired", [lost.get(slot, 0) for slot in times], kind="bars", tone="warning"),
        ],
        unit="seats",
        empty="No reservations in this period.",
    )


def _slots(since: datetime, now: datetime, *, hourly: bool) -> list[datetime]:
    """Return the start of each hour or day from `since` to `now`, in the portal's time zone.

    The database truncates to the same times. Steps of 24 hours would miss them when daylight saving time starts or
    ends, because such a day has 23 or 25 hours.
    """
    start = timezone.localtime(since).replace(minute=0, second=0, microsecond=0)
    slots = []
    if hourly:
        hour = start.astimezone(timezone.get_fixed_timezone(0))
        while hour <= now:
            slots.append(timezone.localtime(hour))
            hour += timedelta(hours=1)
    else:
        day = start.replace(hour=0)
        while day <= now:
            slots.append(day)
            # Adding a day to a local time leads to the next midnight, even if the day has 23 or 25 hours.
            day += timedelta(days=1)
    return slots
