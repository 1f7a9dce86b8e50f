"""Read measurements by name for the alert rules that staff create."""

from collections.abc import Iterator
from datetime import datetime

from alerts.extension_points import Measured, Reading, metric_reader
from health.models import Series, SeriesKind
from health.queries import latencies, values
from health.queries.latencies import LatencySummary

CALL_KINDS = (SeriesKind.FUNCTION, SeriesKind.PAGE, SeriesKind.REQUEST)


def list_gauges() -> list[str]:
    return _names(SeriesKind.GAUGE)


def list_counters() -> list[str]:
    return _names(SeriesKind.COUNTER)


def list_calls() -> list[str]:
    return _names(*CALL_KINDS)


def _names(*kinds: SeriesKind) -> list[str]:
    series = Series.objects.filter(kind__in=kinds, app__isnull=False)
    return list(series.order_by("name").values_list("name", flat=True).distinct())


@metric_reader("gauge: latest level, by app", names=list_gauges)
def gauge(selector: str, since: datetime, until: datetime) -> Iterator[Reading]:
    for level in values.latest_levels(selector, since=since, until=until):
        yield Reading(level.value, labels=_labels(level.app))


@metric_reader("counter: sum over the window", names=list_counters)
def counter(selector: str, since: datetime, until: datetime) -> Measured:
    return values.sum_values(SeriesKind.COUNTER, [selector], since, until)[selector]


@metric_reader("calls: number in the window", names=list_calls, unit="calls")
def calls(selector: str, since: datetime, until: datetime) -> Measured:
    return float(sum(summary.count for _, summary in _summaries(selector, since, until)))


@metric_reader("duration: mean, ms", names=list_calls, unit="ms")
def mean(selector: str, since: datetime, until: datetime) -> Iterator[Reading]:
    for app, summary in _summaries(selector, since, until):
        if summary.mean_ms is not None:
            yield Reading(summary.mean_ms, samples=summary.measured, labels=_labels(app))


@metric_reader("duration: 95th percentile, ms", names=list_calls, unit="ms")
def p95(selector: str, since: datetime, until: datetime) -> Iterator[Reading]:
    for app, summary in _summaries(selector, since, until):
        value = summary.percentile(0.95)
        if value is not None:
            yield Reading(value, samples=summary.measured, labels=_labels(app))


@metric_reader("failures: share of calls, %", names=list_calls, unit="%")
def failures(selector: str, since: datetime, until: datetime) -> Iterator[Reading]:
    for app, summary in _summaries(selector, since, until):
        if summary.failure_share is not None:
            yield Reading(
                100 * summary.failure_share, samples=summary.measured, labels=_labels(app)
            )


def _summaries(selector: str, since: datetime, until: datetime) -> list[tuple[str, LatencySummary]]:
    """Return, for each app, a summary of the functions, pages or requests with this name."""
    series = Series.objects.filter(name=selector, kind__in=CALL_KINDS, app__isnull=False)
    return latencies.summarize_by_app(series, since, until)


def _labels(app: str) -> tuple[tuple[str, str], ...]:
    return (("app", app),) if app else ()
