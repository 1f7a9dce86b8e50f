"""Readers for alert rules that staff define: any recorded measurement, selected by its name."""

from collections.abc import Iterator
from datetime import datetime

from alerts.extension_points import Measured, Reading, metric_reader
from health.models import Series, SeriesKind
from health.queries import latencies, values
from health.queries.latencies import LatencySummary


@metric_reader("gauge: latest level, by app")
def gauge(selector: str, since: datetime, until: datetime) -> Iterator[Reading]:
    for level in values.latest_levels(selector, since=since):
        yield Reading(level.value, labels=(("app", level.app),) if level.app else ())


@metric_reader("counter: sum over the window")
def counter(selector: str, since: datetime, until: datetime) -> Measured:
    return values.sum_values(SeriesKind.COUNTER, [selector], since, until)[selector]


@metric_reader("calls: number in the window")
def calls(selector: str, since: datetime, until: datetime) -> Measured:
    return float(_summarize(selector, since, until).count)


@metric_reader("duration: mean, ms")
def mean(selector: str, since: datetime, until: datetime) -> Measured:
    return _reading(_summarize(selector, since, until), None)


@metric_reader("duration: 95th percentile, ms")
def p95(selector: str, since: datetime, until: datetime) -> Measured:
    return _reading(_summarize(selector, since, until), 0.95)


@metric_reader("failures: share of calls, %")
def failures(selector: str, since: datetime, until: datetime) -> Measured:
    summary = _summarize(selector, since, until)
    return (
        Reading(100 * (summary.failure_share or 0), samples=summary.count)
        if summary.count
        else None
    )


def _summarize(selector: str, since: datetime, until: datetime) -> LatencySummary:
    """Summarize the functions, pages and requests with that name, over all apps."""
    kinds = [SeriesKind.FUNCTION, SeriesKind.PAGE, SeriesKind.REQUEST]
    series = Series.objects.filter(name=selector, kind__in=kinds, app__isnull=False)
    return latencies.summarize(series, since, until)


def _reading(summary: LatencySummary, quantile: float | None) -> Reading | None:
    value = summary.percentile(quantile) if quantile is not None else summary.mean_ms
    return None if value is None else Reading(value, samples=summary.count)
