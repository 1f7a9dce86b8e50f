"""Read counters, delivery outcomes and gauges from roll-ups, for a whole period or for each slot of a chart."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import Q, QuerySet, Sum

from core.lib.db_time import EpochSeconds
from health.models import Series, SeriesKind, Tier, Value
from health.queries.resolutions import periods_for, value_resolution_for
from health.queries.sums import add_up_by


def _values(
    series: QuerySet[Series], since: datetime, until: datetime, tier: Tier
) -> QuerySet[Value]:
    return Value.objects.filter(
        series__in=series, tier=tier, start__gte=tier.floor(since), start__lt=until
    )


def sum_values(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> dict[str, float]:
    """Return the sum of each counter or delivery outcome over all apps, by name.

    The sum is 0 if nothing was reported.
    """
    names = list(names)
    series = Series.objects.filter(kind=kind, name__in=names)
    found = dict.fromkeys(names, 0.0)
    for _, name, total in _add_up(series, since, until):
        found[name] += total
    return found


def sum_values_by_app(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> list[tuple[str, str, float]]:
    """Return the name of the app, the name of the series and a sum. A series may have several sums, which add up."""
    series = Series.objects.of_apps(kind).filter(name__in=list(names))
    return _add_up(series, since, until)


def _add_up(
    series: QuerySet[Series], since: datetime, until: datetime
) -> list[tuple[str, str, float]]:
    """Return the name of the app, the name of the series and a sum. A series may have several sums, which add up."""
    by, periods = ["app__name", "name"], periods_for(since, until)
    sums = add_up_by(by, Value, ["total"], series, periods)
    return [(app or "", name, total) for (app, name), (total,) in sums]


def sum_values_per_slot(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> dict[datetime, dict[str, float]]:
    """Return the sums over all apps for each slot of the period, by the name of the series."""
    names = list(names)
    resolution = value_resolution_for(until - since)
    slots = {slot: dict.fromkeys(names, 0.0) for slot in resolution.slots(since, until)}
    rows = _values(
        Series.objects.filter(kind=kind, name__in=names), since, until, resolution.tier
    ).values_list("start", "series__name", "total")
    for start, name, total in rows.iterator():
        if (slot := resolution.floor(start)) in slots:
            slots[slot][name] += total
    return slots


@dataclass(frozen=True)
class Level:
    """The latest value of a gauge in one app."""

    app: str
    name: str
    value: float
    at: datetime


def latest_levels(name: str, *, since: datetime, until: datetime) -> list[Level]:
    """Return the latest level of a gauge for each app that reported the gauge in the period."""
    latest: dict[int, Level] = {}
    conditions = [
        Q(tier=period.tier, start__gte=period.since, start__lt=period.until)
        for period in periods_for(since, until)
    ]
    rows = (
        Value.objects.filter(series__in=Series.objects.filter(kind=SeriesKind.GAUGE, name=name))
        .filter(reduce(or_, conditions))
        .order_by("start")
        .values_list("series_id", "series__app__name", "last", "start")
    )
    for series_id, app, value, at in rows:
        latest[series_id] = Level(app or "", name, value, at)
    return list(latest.values())


def level_per_slot(
    name: str, since: datetime, until: datetime, *, highest: bool = False
) -> dict[datetime, float | None]:
    """Return the last or highest level of a gauge in each slot, summed over apps.

    The level is None in slots in which no app reported it.
    """
    resolution = value_resolution_for(until - since)
    size = int(resolution.slot.total_seconds())
    series = Series.objects.filter(kind=SeriesKind.GAUGE, name=name)
    rows = _values(series, since, until, resolution.tier).values_list(
        EpochSeconds("start"), "series_id", "highest" if highest else "last"
    )
    by_series: dict[tuple[int, int], float] = {}
    # Sort in Python. With ORDER BY, SQLite would use the index on `start` and read all series.
    for seconds, series_id, value in sorted(rows):
        key = (seconds // size, series_id)
        by_series[key] = max(value, by_series.get(key, value)) if highest else value
    levels: dict[int, float] = {}
    for (slot, _), value in by_series.items():
        levels[slot] = levels.get(slot, 0.0) + value
    slots = resolution.slots(since, until)
    return {slot: levels.get(int(slot.timestamp()) // size) for slot in slots}


def first_recorded_at() -> datetime | None:
    """Return the start of the first hour with stored values.

    This shows how long the portal has been running, up to 35 days.
    """
    return (
        Value.objects.filter(tier=Tier.HOUR)
        .order_by("start")
        .values_list("start", flat=True)
        .first()
    )


def level_in_hour(name: str, timestamp: datetime) -> float | None:
    """Return the highest level of a gauge in the clock hour that contains `timestamp`, summed over apps.

    Return None if no app reported it.
    """
    rows = Value.objects.filter(
        series__in=Series.objects.filter(kind=SeriesKind.GAUGE, name=name),
        tier=Tier.HOUR,
        start=Tier.HOUR.floor(timestamp),
    )
    level: float | None = rows.aggregate(sum=Sum("highest"))["sum"]
    return level
