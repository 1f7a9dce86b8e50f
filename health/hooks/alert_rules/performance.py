"""Define alert rules about the duration of calls and page loads."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts.extension_points import Cadence, Measured, Reading, Severity, alert_rule
from alerts.queries import limits_of
from health.hooks.alert_types import SLOW_PERFORMANCE
from health.models import Series, SeriesKind
from health.queries import latencies

HOUR = timedelta(hours=1)
VERY_SLOW = "performance.very_slow_response"
# Calls below this duration are read only if a limit of the rule is even lower.
MIN_SLOW_CALL_MS = 1_000


def _mean(kind: SeriesKind, since: datetime, until: datetime) -> Reading | None:
    summary = latencies.summarize(Series.objects.total(kind), since, until)
    if summary.mean_ms is None:
        return None
    p95 = summary.percentile(0.95) or 0
    return Reading(
        summary.mean_ms,
        samples=summary.measured,
        message=f"mean {summary.mean_ms:,.0f} ms over {summary.count:,} calls, p95 {p95:,.0f} ms",
    )


def _slowest(
    kinds: tuple[SeriesKind, ...], since: datetime, until: datetime, above_ms: float
) -> Iterator[Reading]:
    """Yield a reading for each series with a call that took longer than `above_ms`."""
    for series in latencies.find_slowest(kinds, since, until, above_ms=above_ms):
        yield Reading(
            series.highest_ms,
            samples=series.measured,
            labels=(("app", series.app), ("name", series.name)),
            message=f"{series.name} ({series.app}) took {series.highest_ms:,.0f} ms",
        )


@alert_rule(
    "performance.slow_response",
    summary="Slow responses",
    unit="ms",
    threshold=3_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW_PERFORMANCE,
    cadence=Cadence.PERFORMANCE,
    min_samples=5,
)
def slow_response(since: datetime, until: datetime) -> Measured:
    found = [
        reading
        for kind in (SeriesKind.FUNCTION, SeriesKind.REQUEST)
        if (reading := _mean(kind, since, until))
    ]
    return max(found, key=lambda reading: reading.value or 0.0, default=None)


@alert_rule(
    VERY_SLOW,
    summary="Very slow response",
    unit="ms",
    threshold=10_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW_PERFORMANCE,
    cadence=Cadence.PERFORMANCE,
)
def very_slow_response(since: datetime, until: datetime) -> Measured:
    """Return a reading for each series with slow calls.

    A series without a reading had no call above the rule's clear threshold.
    """
    above_ms = min(MIN_SLOW_CALL_MS, limits_of(VERY_SLOW).effective_clear_threshold())
    return list(_slowest((SeriesKind.FUNCTION, SeriesKind.REQUEST), since, until, above_ms))


@alert_rule(
    "performance.page_load",
    summary="Slow page loads",
    unit="ms",
    threshold=5_000,
    window=HOUR,
    severity=Severity.HIGH,
    alert_type=SLOW_PERFORMANCE,
    cadence=Cadence.PERFORMANCE,
    min_samples=5,
)
def page_load(since: datetime, until: datetime) -> Measured:
    return _mean(SeriesKind.PAGE, since, until)
