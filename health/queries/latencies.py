"""Read durations and failures from roll-ups, for a whole period or for each slot of a chart."""

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
    """The totals and the histogram of calls. All values are estimates if `measured` is lower than `count`."""

    count: int = 0
    measured: int = 0
    failed: int = 0
    total_ms: float = 0.0
    highest_ms: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * histogram.BUCKET_COUNT)

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> "LatencySummary":
        """Add up rows that contain `count`, `measured`, `failed`, `total_ms`, `highest_ms` and the buckets."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return cls()
        count, measured, failed, total_ms, highest, *buckets = columns
        return cls(
            sum(count),
            sum(measured),
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
_TOTALS = ("count", "measured", "failed", "total_ms")
# Lists the columns in the order that LatencySummary.of expects.
_COLUMNS = (*_TOTALS, "highest_ms", *Latency.BUCKETS)
_SUMS = {name: Sum(name) for name in _TOTALS}
_BUCKETS = {f"sum_{name}": Sum(name) for name in Latency.BUCKETS}


def latency_rows(
    series: QuerySet[Series], since: datetime, until: datetime, tier: Tier
) -> QuerySet[Latency]:
    return Latency.objects.filter(
        series__in=series, tier=tier, start__gte=tier.floor(since), start__lt=until
    )


def summarize(series: QuerySet[Series], since: datetime, until: datetime) -> LatencySummary:
    """Return a summary of all calls of the series in the period, read from the tier that `tier_for` selects.

    The values are added up in Python. For a few hundred rows, this is faster than a query with thirty sums.
    """
    rows = latency_rows(series, since, until, tier_for(until - since))
    return LatencySummary.of(rows.values_list(*_COLUMNS))


def summarize_hour(series: QuerySet[Series], timestamp: datetime) -> LatencySummary:
    """Return a summary of the calls in the clock hour that contains `timestamp`.

    The summary is read from the hourly roll-up, because the minutes may have been deleted.
    """
    rows = Latency.objects.filter(
        series__in=series, tier=Tier.HOUR, start=Tier.HOUR.floor(timestamp)
    )
    return LatencySummary.of(rows.values_list(*_COLUMNS))


def summarize_by_kind(
    kinds: Collection[SeriesKind], since: datetime, until: datetime
) -> dict[SeriesKind, LatencySummary]:
    """Return a summary of the calls of all apps in the period for each kind."""
    series = Series.objects.filter(app=None, kind__in=kinds, name="")
    rows = latency_rows(series, since, until, tier_for(until - since))
    return _summarize_by(rows, "series__kind", kinds)


def summarize_by_app(
    series: QuerySet[Series], since: datetime, until: datetime
) -> list[tuple[str, LatencySummary]]:
    """Return the name and a summary of each app with calls of the series in the period, sorted by name."""
    rows = latency_rows(series, since, until, tier_for(until - since))
    apps = sorted(set(series.values_list("app__name", flat=True)))
    summaries = _summarize_by(rows, "series__app__name", apps)
    return [(app or "", summary) for app, summary in summaries.items() if summary.count]


def _summarize_by(
    rows: QuerySet[Latency], by: str, keys: Iterable[Key]
) -> dict[Key, LatencySummary]:
    """Return a summary of the rows for each key in the column `by`.

    The values are added up in Python, as in `summarize`.
    """
    found: dict[Key, list[Sequence[Any]]] = {key: [] for key in keys}
    for key, *figures in rows.values_list(by, *_COLUMNS):
        found[key].append(figures)
    return {key: LatencySummary.of(rows) for key, rows in found.items()}


def summarize_per_slot(
    series: QuerySet[Series], since: datetime, until: datetime
) -> dict[datetime, LatencySummary]:
    """Return a summary of the calls in each slot of the period, in order. Slots without calls are included."""
    resolution = resolution_for(until - since)
    slots = resolution.slots(since, until)
    rows_of: list[list[Sequence[float]]] = [[] for _ in slots]
    rows = latency_rows(series, since, until, resolution.tier).values_list("start", *_COLUMNS)
    slot_number = 0
    # Sort in Python. With ORDER BY, SQLite would use the index on `start` and scan all series.
    for start, *figures in sorted(rows, key=itemgetter(0)):
        while slot_number + 1 < len(slots) and start >= slots[slot_number + 1]:
            slot_number += 1
        rows_of[slot_number].append(figures)
    return {slot: LatencySummary.of(rows) for slot, rows in zip(slots, rows_of, strict=True)}


@dataclass(frozen=True)
class SeriesLatency:
    app: str
    name: str
    summary: LatencySummary


def rank_series(
    kind: str, since: datetime, until: datetime, *, limit: int = 8
) -> list[SeriesLatency]:
    """Return the `limit` series of a kind with the most failures and then the longest total duration.

    The environments of an app are combined.
    """
    tier = tier_for(until - since)
    series = Series.objects.of_apps(kind)
    sums = (
        latency_rows(series, since, until, tier)
        .values_list("series_id")
        .annotate(failures=Sum("failed"), time=Sum("total_ms"))
        .order_by()
    )
    names = {pk: (app, name) for pk, app, name in series.values_list("pk", "app__name", "name")}
    ranks: dict[tuple[str, str], tuple[int, float]] = {}
    for pk, failures, time in sums:
        key = names[pk]
        before = ranks.get(key, (0, 0.0))
        ranks[key] = (before[0] + failures, before[1] + time)
    chosen = sorted(ranks, key=lambda key: (-ranks[key][0], -ranks[key][1], key))[:limit]
    if not chosen:
        return []
    pks = [pk for pk, key in names.items() if key in chosen]
    named = Series.objects.filter(pk__in=pks)
    found: dict[tuple[str, str], list[Sequence[Any]]] = {key: [] for key in chosen}
    # Aggregate in the database: a week of hourly rows for eight functions is 8 x 168 = 1,344 rows per environment.
    rows = latency_rows(named, since, until, tier).values_list("series_id")
    for pk, *figures in rows.annotate(**_SUMS, highest=Max("highest_ms"), **_BUCKETS).order_by():
        found[names[pk]].append(figures)
    return [SeriesLatency(*key, LatencySummary.of(found[key])) for key in chosen]


@dataclass(frozen=True)
class SlowSeries:
    app: str
    name: str
    measured: int  # Counts the calls in those minutes that contain a slow call.
    highest_ms: float


def find_slowest(
    kinds: Iterable[SeriesKind], since: datetime, until: datetime, *, above_ms: float
) -> list[SlowSeries]:
    """Return all series with a call that took longer than `above_ms`, slowest first.

    Only minute roll-ups are read, which are kept for 48 hours.
    """
    rows = (
        Latency.objects.filter(
            series__in=Series.objects.filter(kind__in=list(kinds), app__isnull=False),
            tier=Tier.MINUTE,
            start__gte=Tier.MINUTE.floor(since),
            start__lt=until,
            highest_ms__gt=above_ms,
        )
        .values_list("series__app__name", "series__name")
        .annotate(calls=Sum("measured"), highest=Max("highest_ms"))
        .order_by("-highest", "series__app__name", "series__name")
    )
    return [SlowSeries(app or "", name, calls, highest) for app, name, calls, highest in rows]
