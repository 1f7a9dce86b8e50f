"""Durations from the roll-ups: percentiles, means and failures over a span, and in slots of it for charts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVar

from django.db.models import Max, QuerySet, Sum

from health import histogram
from health.models import Latency, Series, SeriesKind, Tier
from health.queries.resolutions import resolution_for, tier_for


@dataclass
class LatencySummary:
    """Calls of a span, added up."""

    count: int = 0
    failed: int = 0
    total_ms: float = 0.0
    highest_ms: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * histogram.BUCKET_COUNT)

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


def latency_rows(
    series: QuerySet[Series], since: datetime, until: datetime, tier: Tier
) -> QuerySet[Latency]:
    return Latency.objects.filter(
        series__in=series, tier=tier, start__gte=tier.floor(since), start__lt=until
    )


def latency(series: QuerySet[Series], since: datetime, until: datetime) -> LatencySummary:
    """All calls of these series in the span (to the minute up to a day, to the hour beyond)."""
    rows = latency_rows(series, since, until, tier_for(until - since)).aggregate(
        **_SUMS, highest=Max("highest_ms"), **_BUCKETS
    )
    return LatencySummary.of([list(rows.values())]) if rows["count"] else LatencySummary()


def total_latencies(
    kinds: Collection[SeriesKind], since: datetime, until: datetime
) -> dict[SeriesKind, LatencySummary]:
    """All apps' calls of each kind in the span."""
    series = Series.objects.filter(app=None, kind__in=kinds, name="")
    rows = latency_rows(series, since, until, tier_for(until - since))
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
    rows = latency_rows(series, since, until, resolution.tier).values_list("start", *_FIGURES)
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
    tier = tier_for(until - since)
    series = Series.objects.of_apps(kind)
    first = (
        latency_rows(series, since, until, tier)
        .values("series_id")
        .annotate(failures=Sum("failed"), time=Sum("total_ms"))
        .order_by("-failures", "-time")[:limit]
    )
    chosen = [row["series_id"] for row in first]
    if not chosen:
        return []
    named = Series.objects.filter(pk__in=chosen)
    summaries = _added_up(latency_rows(named, since, until, tier), "series_id", chosen)
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
