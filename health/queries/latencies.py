"""Read durations and failures from roll-ups, for a whole period or for each slot of a chart."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.db import connection
from django.db.models import Max, QuerySet, Sum

from core.lib.db_time import epoch_seconds
from health import histogram
from health.models import Latency, Series, SeriesKind, Tier
from health.queries.resolutions import Period, periods_for, resolution_for
from health.queries.sums import Sums, add_up, add_up_by


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
    def of(cls, rows: Iterable[Sums]) -> "LatencySummary":
        """Add up rows that contain the columns of _COLUMNS, in this order."""
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
# Lists the columns in the order that LatencySummary.of expects.
_COLUMNS = ("count", "measured", "failed", "total_ms", "highest_ms", *Latency.BUCKETS)


def _summarize(series: QuerySet[Series], *periods: Period) -> LatencySummary:
    return LatencySummary.of(figures for _, figures in add_up(Latency, _COLUMNS, series, periods))


def summarize(series: QuerySet[Series], since: datetime, until: datetime) -> LatencySummary:
    """Return a summary of all calls of the series in the period. See `periods_for` about its precision."""
    return _summarize(series, *periods_for(since, until))


def summarize_hour(series: QuerySet[Series], timestamp: datetime) -> LatencySummary:
    """Return a summary of the calls in the clock hour that contains `timestamp`.

    The summary is read from the hourly roll-up, because the minutes may have been deleted.
    """
    hour = Tier.HOUR.floor(timestamp)
    return _summarize(series, Period(Tier.HOUR, hour, hour + Tier.HOUR.length))


def summarize_by_kind(
    kinds: Collection[SeriesKind], since: datetime, until: datetime
) -> dict[SeriesKind, LatencySummary]:
    """Return a summary of the calls of all apps in the period for each kind."""
    series = Series.objects.filter(app=None, kind__in=kinds, name="")
    return _summarize_by("kind", kinds, series, since, until)


def summarize_by_app(
    series: QuerySet[Series], since: datetime, until: datetime
) -> list[tuple[str, LatencySummary]]:
    """Return the name and a summary of each app with calls of the series in the period, sorted by name."""
    summaries: dict[str, LatencySummary] = _summarize_by("app__name", [], series, since, until)
    return [(app, summary) for app, summary in sorted(summaries.items()) if summary.count]


def _summarize_by(
    field: str, keys: Iterable[Key], series: QuerySet[Series], since: datetime, until: datetime
) -> dict[Key, LatencySummary]:
    """Return a summary of the calls for each value of `field` of the series, at least for `keys`."""
    rows_of: dict[Key, list[Sums]] = {key: [] for key in keys}
    periods = periods_for(since, until)
    for (key,), sums in add_up_by([field], Latency, _COLUMNS, series, periods):
        rows_of.setdefault(key, []).append(sums)
    return {key: LatencySummary.of(rows) for key, rows in rows_of.items()}


def summarize_per_slot(
    series: QuerySet[Series], since: datetime, until: datetime
) -> dict[datetime, LatencySummary]:
    """Return a summary of the calls in each slot of the period, in order. Slots without calls are included."""
    resolution = resolution_for(until - since)
    size = int(resolution.slot.total_seconds())
    slot_number = f"{epoch_seconds('start', connection.vendor)} / {size}"
    period = Period(resolution.tier, resolution.floor(since), until)
    by_slot = dict(add_up(Latency, _COLUMNS, series, [period], by=slot_number))
    found = {}
    for slot in resolution.slots(since, until):
        figures = by_slot.get(int(slot.timestamp()) // size)
        found[slot] = LatencySummary.of([figures] if figures else [])
    return found


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
    periods = periods_for(since, until)
    series = Series.objects.of_apps(kind)
    sums = add_up(Latency, ["failed", "total_ms"], series, periods, by="series_id")
    names = {pk: (app, name) for pk, app, name in series.values_list("pk", "app__name", "name")}
    ranks: dict[tuple[str, str], tuple[int, float]] = {}
    for pk, (failed, total_ms) in sums:
        if pk in names:  # The series may have been deleted since the first query.
            before = ranks.get(names[pk], (0, 0.0))
            ranks[names[pk]] = (before[0] + failed, before[1] + total_ms)
    chosen = sorted(ranks, key=lambda key: (-ranks[key][0], -ranks[key][1], key))[:limit]
    rows_of: dict[tuple[str, str], list[Sums]] = {key: [] for key in chosen}
    ids = [pk for pk, key in names.items() if key in rows_of]
    named = Series.objects.filter(pk__in=ids)
    for pk, row in add_up(Latency, _COLUMNS, named, periods, by="series_id") if ids else ():
        rows_of[names[pk]].append(row)
    return [SeriesLatency(*key, LatencySummary.of(rows_of[key])) for key in chosen]


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
