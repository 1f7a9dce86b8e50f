"""How much apps are used: requests, function calls and bandwidth."""

from collections import Counter
from datetime import datetime

from django.db.models import Sum

from health.models import Series, SeriesKind
from health.queries.latencies import latency_rows
from health.queries.resolutions import tier_for
from health.queries.values import counted
from opsportal.clients.models import ClientApp


def request_count(since: datetime, until: datetime, *, app: ClientApp | None = None) -> int:
    """How many requests apps (or one of them) served, as they measured it: what an error rate divides by."""
    series = (
        Series.objects.filter(app=app, kind=SeriesKind.REQUEST)
        if app
        else Series.objects.total(SeriesKind.REQUEST)
    )
    rows = latency_rows(series, since, until, tier_for(until - since))
    return rows.aggregate(sum=Sum("count"))["sum"] or 0


def function_calls(since: datetime, until: datetime) -> float:
    """Calls of functions: those measured one by one, and those an app only counts (counter function_calls)."""
    rows = latency_rows(
        Series.objects.total(SeriesKind.FUNCTION), since, until, tier_for(until - since)
    )
    measured = rows.aggregate(sum=Sum("count"))["sum"] or 0
    name = "function_calls"
    return measured + counted(SeriesKind.COUNTER, [name], since, until)[name]


def bandwidth_bytes(since: datetime, until: datetime) -> float:
    name = "bandwidth_bytes"
    return counted(SeriesKind.COUNTER, [name], since, until)[name]


def requests_by_app(since: datetime, until: datetime) -> list[tuple[str, int]]:
    """How many requests, function calls and page loads each app measured, most first."""
    series = Series.objects.filter(app__isnull=False)
    app_of = dict(series.values_list("pk", "app__name"))
    # Added up by series and only then by app: joining the names to each of the points costs twice as much.
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
