"""Read how much apps use limited resources: requests, function calls and bandwidth."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from alerts.extension_points import alert_rules
from alerts.models import AlertRule
from core.lib.forecasts import Trend, forecast
from health.models import Latency, Series, SeriesKind, Tier, Value
from health.queries import latencies
from health.queries.resolutions import periods_for
from health.queries.sums import add_up_by
from health.queries.values import sum_values

# The usage rules warn at 80 % of a plan's limit, so the limit follows from the rule's threshold.
WARNING_SHARE = 0.8
FUNCTION_CALLS = "function_calls"
BANDWIDTH = "bandwidth_bytes"
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def load_thresholds() -> dict[str, float]:
    """Return the thresholds of the usage rules, which staff may have changed."""
    names = ("usage.database_size", "usage.function_calls", "usage.bandwidth")
    found = {name: alert_rules.get(name).threshold for name in names}
    found.update(AlertRule.objects.filter(name__in=names).values_list("name", "threshold"))
    return found


def month_of(now: datetime) -> datetime:
    """Return the start of the month that contains `now`. Bandwidth is counted by month."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month_of(now: datetime) -> datetime:
    return month_of(month_of(now) + 32 * DAY)


@dataclass(frozen=True)
class RequestCount:
    """The requests of one app in one environment.

    The numbers are estimates if the app measured only a sample.
    """

    app: str
    environment: str
    total: int
    failed: int
    measured: int

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.total if self.total else 0.0


def request_counts(since: datetime, until: datetime) -> list[RequestCount]:
    """Return the requests of each app and environment that measured any."""
    series = Series.objects.of_apps(SeriesKind.REQUEST)
    periods = periods_for(since, until)
    counts: dict[tuple[str, str], tuple[int, int, int]] = {}
    for owner, (total, failed, measured) in add_up_by(
        ["app__name", "environment"], Latency, ["count", "failed", "measured"], series, periods
    ):
        before = counts.get(owner, (0, 0, 0))
        counts[owner] = (before[0] + total, before[1] + failed, before[2] + measured)
    return [RequestCount(*owner, *counted) for owner, counted in sorted(counts.items())]


def function_call_count(since: datetime, until: datetime) -> float:
    """Return the number of function calls, both measured and counted by apps in `function_calls`."""
    measured = latencies.summarize(Series.objects.total(SeriesKind.FUNCTION), since, until).count
    counted = sum_values(SeriesKind.COUNTER, [FUNCTION_CALLS], since, until)
    return measured + counted[FUNCTION_CALLS]


def bandwidth_bytes(since: datetime, until: datetime) -> float:
    """Return the number of bytes that apps reported in the counter bandwidth_bytes."""
    return sum_values(SeriesKind.COUNTER, [BANDWIDTH], since, until)[BANDWIDTH]


def call_count_by_app(since: datetime, until: datetime) -> list[tuple[str, int]]:
    """Return the number of requests, function calls and page loads of each app, highest number first."""
    series = Series.objects.filter(app__isnull=False)
    periods = periods_for(since, until)
    calls_of: Counter[str] = Counter()
    for (app,), (calls,) in add_up_by(["app__name"], Latency, ["count"], series, periods):
        calls_of[app] += calls
    return sorted(calls_of.items(), key=lambda pair: (-pair[1], pair[0]))


def forecast_function_calls(*, limit: float, now: datetime) -> Trend:
    """Forecast when the number of calls in 24 hours will reach the limit, at the pace of the last two weeks."""
    since = Tier.HOUR.floor(now - 15 * DAY)
    measured = Latency.objects.filter(
        series__in=Series.objects.total(SeriesKind.FUNCTION),
        tier=Tier.HOUR,
        start__gte=since,
        start__lt=now,
    )
    calls = Counter(dict(measured.values_list("start").annotate(sum=Sum("count")).order_by()))
    calls.update(_counted_by_hour(FUNCTION_CALLS, since, now))
    if not calls:
        return forecast([], limit=limit, now=now, bases=[7 * DAY])
    hours = int((Tier.HOUR.floor(now) - min(calls)) / HOUR)
    points = []
    last_day = 0.0
    for number in range(hours):
        hour = min(calls) + number * HOUR
        last_day += calls[hour] - calls[hour - DAY]
        if number >= 23:
            points.append((hour + HOUR, last_day))
    return forecast(points, limit=limit, now=now, bases=[7 * DAY, 14 * DAY])


def forecast_bandwidth(*, limit: float, now: datetime) -> Trend:
    """Forecast when this month's bytes will reach the limit, if they do so before the month ends."""
    month = month_of(now)
    counted = _counted_by_hour(BANDWIDTH, month - 2 * DAY, now)
    sent = {start: bytes_ for start, bytes_ in counted.items() if start >= month}
    # If apps first reported during this month, the measurement begins with the first report.
    first = max(month, min(counted, default=month))
    points, total = [(first, 0.0)], 0.0
    for hour in range(int((now - first) / HOUR) + 1):
        start = first + hour * HOUR
        total += sent.get(start, 0.0)
        points.append((min(start + HOUR, now), total))
    return forecast(
        points if total else [],
        limit=limit,
        now=now,
        bases=[DAY, 7 * DAY, 31 * DAY],
        deadline=next_month_of(now),
    )


def _counted_by_hour(name: str, since: datetime, until: datetime) -> dict[datetime, float]:
    """Return the sum of a counter over all apps by clock hour, without hours that have no values."""
    rows = Value.objects.filter(
        series__in=Series.objects.filter(kind=SeriesKind.COUNTER, name=name),
        tier=Tier.HOUR,
        start__gte=since,
        start__lt=until,
    )
    return dict(rows.values_list("start").annotate(sum=Sum("total")).order_by())
