"""Read counters, delivery outcomes and gauges from roll-ups, for a whole period or for each slot of a chart."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet, Sum

from health.models import Series, SeriesKind, Tier, Value
from health.queries.resolutions import tier_for, value_resolution_for


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
    rows = (
        _values(series, since, until, tier_for(until - since))
        .values_list("series__name")
        .annotate(sum=Sum("total"))
    )
    return dict.fromkeys(names, 0.0) | dict(rows)


def sum_values_by_app(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> list[tuple[str, str, float]]:
    """Return the name of the app, the name of the series and the sum for each series with values in the period."""
    series = Series.objects.of_apps(kind).filter(name__in=list(names))
    rows = (
        _values(series, since, until, tier_for(until - since))
        .values_list("series__app__name", "series__name")
        .annotate(sum=Sum("total"))
    )
    return [(app or "", name, total) for app, name, total in rows]


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
    rows = (
        _values(
            Series.objects.filter(kind=SeriesKind.GAUGE, name=name),
            since,
            until,
            tier_for(until - since),
        )
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
    slots: dict[datetime, float | None] = dict.fromkeys(resolution.slots(since, until))
    rows = (
        _values(
            Series.objects.filter(kind=SeriesKind.GAUGE, name=name), since, until, resolution.tier
        )
        .order_by("start")
        .values_list("series_id", "start", "highest" if highest else "last")
    )
    by_series: dict[tuple[datetime, int], float] = {}
    for series_id, start, value in rows.iterator():
        key = (resolution.floor(start), series_id)
        by_series[key] = max(value, by_series.get(key, value)) if highest else value
    for (slot, _), value in by_series.items():
        if slot in slots:
            slots[slot] = (slots[slot] or 0.0) + value
    return slots


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
