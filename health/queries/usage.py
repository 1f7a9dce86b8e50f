"""Read how much apps are used: requests, function calls and bandwidth."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from health.models import Series, SeriesKind
from health.queries.latencies import latency_rows
from health.queries.resolutions import tier_for
from health.queries.values import sum_values


@dataclass(frozen=True)
class RequestCount:
    """The requests of one app in one environment, which are estimates if it measured only a sample of them."""

    app: str
    environment: str
    total: int
    failed: int
    measured: int

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.total if self.total else 0.0


def request_counts(since: datetime, until: datetime) -> list[RequestCount]:
    """Return the requests of each app and environment. Apps that measured none are missing."""
    series = Series.objects.of_apps(SeriesKind.REQUEST)
    owner_of = {
        pk: (app, environment)
        for pk, app, environment in series.values_list("pk", "app__name", "environment")
    }
    rows = (
        latency_rows(series, since, until, tier_for(until - since))
        .values_list("series_id")
        .annotate(total=Sum("count"), failures=Sum("failed"), samples=Sum("measured"))
        .order_by()
    )
    sums: dict[tuple[str, str], tuple[int, int, int]] = {}
    for pk, total, failed, measured in rows:
        before = sums.get(owner_of[pk], (0, 0, 0))
        sums[owner_of[pk]] = (before[0] + total, before[1] + failed, before[2] + measured)
    return [RequestCount(*owner, *counted) for owner, counted in sorted(sums.items())]


def function_call_count(since: datetime, until: datetime) -> float:
    """Return the number of function calls: measured ones plus those reported in the counter function_calls."""
    rows = latency_rows(
        Series.objects.total(SeriesKind.FUNCTION), since, until, tier_for(until - since)
    )
    measured = rows.aggregate(sum=Sum("count"))["sum"] or 0
    name = "function_calls"
    return measured + sum_values(SeriesKind.COUNTER, [name], since, until)[name]


def bandwidth_bytes(since: datetime, until: datetime) -> float:
    """Return the number of bytes that apps reported in the counter bandwidth_bytes."""
    name = "bandwidth_bytes"
    return sum_values(SeriesKind.COUNTER, [name], since, until)[name]


def call_count_by_app(since: datetime, until: datetime) -> list[tuple[str, int]]:
    """Return the number of requests, function calls and page loads that each app measured, highest first."""
    series = Series.objects.filter(app__isnull=False)
    app_of = dict(series.values_list("pk", "app__name"))
    # Sums by series first: joining the app's name to every single row would cost twice as much.
    rows = (
        latency_rows(series, since, until, tier_for(until - since))
        .values_list("series_id")
        .annotate(calls=Sum("count"))
        .order_by()
    )
    calls_of: Counter[str] = Counter()
    for series_id, calls in rows:
        calls_of[app_of.get(series_id) or ""] += calls
    return sorted(calls_of.items(), key=lambda pair: (-pair[1], pair[0]))
