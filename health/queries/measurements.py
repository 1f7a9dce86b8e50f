"""Figures from the roll-ups: percentiles, sums and levels over a span, and in slots of it for charts."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TypeVar

from django.db.models import Max, QuerySet, Sum

from health import histogram
from health.models import Latency, Series, SeriesKind, Tier, Value
from opsportal.clients.models import ClientApp


@dataclass(frozen=True)
class Resolution:
    """How a span is drawn: from which points, in slots of which length."""

    tier: Tier
    slot: timedelta

    def floor(self, moment: datetime) -> datetime:
        size = self.slot.total_seconds()
        return datetime.fromtimestamp(moment.timestamp() // size * size, tz=moment.tzinfo)

    def slots(self, since: datetime, until: datetime) -> list[datetime]:
        start, found = self.floor(since), []
        while start < until:
            found.append(start)
            start += self.slot
        return found


def resolution_for(span: timedelta) -> Resolution:
    if span <= timedelta(hours=2):
        return Resolution(Tier.MINUTE, timedelta(minutes=1))
    if span <= timedelta(hours=24):
        return Resolution(Tier.MINUTE, timedelta(minutes=15))
    if span <= timedelta(days=8):
        return Resolution(Tier.HOUR, timedelta(hours=1))
    if span <= timedelta(days=31):
        return Resolution(Tier.HOUR, timedelta(hours=6))
    return Resolution(Tier.DAY, timedelta(days=1))


def value_resolution_for(span: timedelta) -> Resolution:
    """Coarser: there are many series of values, and their charts are bars and levels."""
    if span <= timedelta(hours=2):
        return Resolution(Tier.MINUTE, timedelta(minutes=1))
    if span <= timedelta(days=8):
        return Resolution(Tier.HOUR, timedelta(hours=1))
    return Resolution(Tier.DAY, timedelta(days=1))


@dataclass
class LatencySummary:
    """Calls of a span, added up."""

    count: int = 0
    failed: int = 0
    total_ms: float = 0.0
    highest_ms: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * histogram.SIZE)

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> "LatencySummary":
        """From rows of count, failed, total_ms, highest_ms and the buckets."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return cls()
        count, failed, total_ms, highest, *buckets = columns
        return cls(
            sum(count),
            sum(failed),
            sum(total_ms),
            max(highest),
            [sum(bucket) for bucket in buckets],
        )

    @property
    def mean_ms(self) -> float | None:
        return self.total_ms / self.count if self.count else None

    @property
    def failure_share(self) -> float | None:
        return self.failed / self.count if self.count else None

    def percentile(self, q: float) -> float | None:
        return histogram.quantile(self.buckets, q, highest=self.highest_ms)


Key = TypeVar("Key")
_FIGURES = ("count", "failed", "total_ms", "highest_ms", *Latency.BUCKETS)  # as LatencySummary.of
_SUMS = {name: Sum(name) for name in ("count", "failed", "total_ms")}
_BUCKETS = {f"sum_{name}": Sum(name) for name in Latency.BUCKETS}


def _latencies(
    series: QuerySet[Series], since: datetime, until: datetime, tier: Tier
) -> QuerySet[Latency]:
    return Latency.objects.filter(
        series__in=series, tier=tier, start__gte=tier.floor(since), start__lt=until
    )


def tier_of(span: timedelta) -> Tier:
    """Points fine enough that the ends of `span` hardly matter, and few: what sums are made of."""
    if span <= timedelta(hours=3):
        return Tier.MINUTE
    return Tier.HOUR if span <= timedelta(days=8) else Tier.DAY


def latency(series: QuerySet[Series], since: datetime, until: datetime) -> LatencySummary:
    """All calls of these series in the span (to the minute up to a day, to the hour beyond)."""
    rows = _latencies(series, since, until, tier_of(until - since)).aggregate(
        **_SUMS, highest=Max("highest_ms"), **_BUCKETS
    )
    return LatencySummary.of([list(rows.values())]) if rows["count"] else LatencySummary()


def total_latencies(
    kinds: Collection[SeriesKind], since: datetime, until: datetime
) -> dict[SeriesKind, LatencySummary]:
    """All apps' calls of each kind in the span."""
    series = Series.objects.filter(app=None, kind__in=kinds, name="")
    rows = _latencies(series, since, until, tier_of(until - since))
    return _added_up(rows, "series__kind", kinds)


def _added_up(rows: QuerySet[Latency], by: str, keys: Iterable[Key]) -> dict[Key, LatencySummary]:
    """Added up here: to ask the database for thirty sums costs Django more than it takes to add some hundred rows."""
    found: dict[Key, list[Sequence[Any]]] = {key: [] for key in keys}
    for key, *figures in rows.values_list(by, *_FIGURES):
        found[key].append(figures)
    return {key: LatencySummary.of(rows) for key, rows in found.items()}


def latency_in_slots(
    series: QuerySet[Series], since: datetime, until: datetime
) -> dict[datetime, LatencySummary]:
    """Every slot of the span in order, with what was called in it."""
    resolution = resolution_for(until - since)
    slots = resolution.slots(since, until)
    rows_of: list[list[Sequence[float]]] = [[] for _ in slots]
    rows = _latencies(series, since, until, resolution.tier).values_list("start", *_FIGURES)
    place = 0
    # Sorted here: asked to do it, SQLite walks all series of that time by their start instead.
    for start, *figures in sorted(rows, key=itemgetter(0)):
        while place + 1 < len(slots) and start >= slots[place + 1]:
            place += 1
        rows_of[place].append(figures)
    return {slot: LatencySummary.of(rows) for slot, rows in zip(slots, rows_of, strict=True)}


@dataclass(frozen=True)
class SeriesLatency:
    app: str
    name: str
    summary: LatencySummary


def slowest_and_failing(
    kind: str, since: datetime, until: datetime, *, limit: int = 8
) -> list[SeriesLatency]:
    """The series of a kind that deserve a look first: those that fail, then those that take most of the time."""
    tier = tier_of(until - since)
    series = Series.objects.of_apps(kind)
    first = (
        _latencies(series, since, until, tier)
        .values("series_id")
        .annotate(failures=Sum("failed"), time=Sum("total_ms"))
        .order_by("-failures", "-time")[:limit]
    )
    chosen = [row["series_id"] for row in first]
    if not chosen:
        return []
    named = Series.objects.filter(pk__in=chosen)
    summaries = _added_up(_latencies(named, since, until, tier), "series_id", chosen)
    names = {pk: (app, name) for pk, app, name in named.values_list("pk", "app__name", "name")}
    return [SeriesLatency(*names[pk], summaries[pk]) for pk in chosen if pk in names]


def highest(
    kinds: Iterable[SeriesKind], since: datetime, until: datetime, *, above: float, limit: int = 20
) -> list[SeriesLatency]:
    """The series with a call that took longer than `above` ms, slowest first."""
    rows = (
        Latency.objects.filter(
            series__in=Series.objects.filter(kind__in=list(kinds), app__isnull=False),
            tier=Tier.MINUTE,
            start__gte=Tier.MINUTE.floor(since),
            start__lt=until,
            highest_ms__gt=above,
        )
        .values_list("series__app__name", "series__name")
        .annotate(**_SUMS, highest=Max("highest_ms"), **_BUCKETS)
        .order_by("-highest")[:limit]
    )
    return [
        SeriesLatency(app or "", name, LatencySummary.of([figures])) for app, name, *figures in rows
    ]


def requests_by_app(since: datetime, until: datetime) -> list[tuple[str, int]]:
    """How many requests, function calls and page loads each app measured, most first."""
    series = Series.objects.filter(app__isnull=False)
    app_of = dict(series.values_list("pk", "app__name"))
    # Added up by series and only then by app: joining the names to each of the points costs twice as much.
    rows = (
        _latencies(series, since, until, tier_of(until - since))
        .values_list("series_id")
        .annotate(calls=Sum("count"))
        .order_by()
    )
    calls_of: Counter[str] = Counter()
    for series_id, calls in rows:
        calls_of[app_of.get(series_id) or ""] += calls
    return sorted(calls_of.items(), key=lambda pair: (-pair[1], pair[0]))


# --- counters and gauges -----------------------------------------------------------------------------


def _values(
    series: QuerySet[Series], since: datetime, until: datetime, tier: Tier
) -> QuerySet[Value]:
    return Value.objects.filter(
        series__in=series, tier=tier, start__gte=tier.floor(since), start__lt=until
    )


def counted(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> dict[str, float]:
    """The sums of counters or delivery outcomes over all apps, by name; names without any are 0."""
    names = list(names)
    series = Series.objects.filter(kind=kind, name__in=names)
    rows = (
        _values(series, since, until, tier_of(until - since))
        .values_list("series__name")
        .annotate(sum=Sum("total"))
    )
    return dict.fromkeys(names, 0.0) | dict(rows)


def counted_in_slots(
    kind: SeriesKind, names: Iterable[str], since: datetime, until: datetime
) -> dict[datetime, dict[str, float]]:
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
    """A gauge's newest value."""

    app: str
    name: str
    value: float
    at: datetime


def levels(name: str, *, since: datetime) -> list[Level]:
    """The newest level of a gauge in each app that reported it since then."""
    newest: dict[int, Level] = {}
    rows = (
        Value.objects.filter(
            series__in=Series.objects.filter(kind=SeriesKind.GAUGE, name=name),
            tier=Tier.HOUR,
            start__gte=Tier.HOUR.floor(since),
        )
        .order_by("start")
        .values_list("series_id", "series__app__name", "last", "start")
    )
    for series_id, app, value, at in rows:
        newest[series_id] = Level(app or "", name, value, at)
    return list(newest.values())


def level_in_slots(
    name: str, since: datetime, until: datetime, *, highest: bool = False
) -> dict[datetime, float | None]:
    """A gauge over time, added up over apps: its last (or highest) value in each slot; None where nobody reported."""
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
        place = (resolution.floor(start), series_id)
        by_series[place] = max(value, by_series.get(place, value)) if highest else value
    for (slot, _), value in by_series.items():
        if slot in slots:
            slots[slot] = (slots[slot] or 0.0) + value
    return slots


def request_count(since: datetime, until: datetime, *, app: ClientApp | None = None) -> int:
    """How many requests apps (or one of them) served, as they measured it: what an error rate divides by."""
    series = (
        Series.objects.filter(app=app, kind=SeriesKind.REQUEST)
        if app
        else Series.objects.total(SeriesKind.REQUEST)
    )
    rows = _latencies(series, since, until, tier_of(until - since))
    return rows.aggregate(sum=Sum("count"))["sum"] or 0


def function_calls(since: datetime, until: datetime) -> float:
    """Calls of functions: those measured one by one, and those an app only counts (counter function_calls)."""
    rows = _latencies(
        Series.objects.total(SeriesKind.FUNCTION), since, until, tier_of(until - since)
    )
    measured = rows.aggregate(sum=Sum("count"))["sum"] or 0
    name = "function_calls"
    return measured + counted(SeriesKind.COUNTER, [name], since, until)[name]


def bandwidth_bytes(since: datetime, until: datetime) -> float:
    name = "bandwidth_bytes"
    return counted(SeriesKind.COUNTER, [name], since, until)[name]
