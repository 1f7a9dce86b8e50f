"""Find sudden changes in the calls of apps just before a given time.

Calls may have become slower or begun to fail, and an app may have more or fewer requests. The data comes from minute
roll-ups, which are kept for 48 hours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum

from core.lib import formats
from core.lib.steps import Step, find_step
from health.models import Latency, Series, SeriesKind, Tier

MINUTE = timedelta(minutes=1)
# The usual level is measured in the time before PARTS, up to this long before the given time.
USUAL = timedelta(minutes=75)
# Measurements arrive in batches, so those up to this time after the given time are included.
AFTERWARDS = timedelta(minutes=6)
# A function is examined if it was worse than usual in one of these parts, in minutes before the given time.
PARTS = ((15, 10), (10, 5), (5, -6))
MIN_SLOWER = 2.0
MIN_SLOWER_MS = 50.0
MIN_FAILING = 0.2  # The share of failing calls must rise by at least this value.
MIN_REQUESTS = 10.0  # The number of requests per minute must change by at least this value.
# A step must be followed by at least this number of minutes, because a single slow minute is not a step.
MIN_AFTERWARDS = 2
MAX_SERIES = 12


@dataclass(frozen=True)
class CallStep:
    """A sudden change in the calls of an app."""

    at: datetime
    text: str
    app_id: int
    environment: str
    factor: float
    name: str = ""


def find_slower_calls(at: datetime) -> list[CallStep]:
    """Return a step for each function that became at least twice as slow, or began to fail, shortly before `at`.

    Only the MAX_SERIES most suspicious functions are examined.
    """
    minutes = _minutes(at)
    found = []
    for series in _suspicious(at):
        values: list[tuple[float, float] | None] = [None] * len(minutes)
        rows = Latency.objects.filter(
            series=series, tier=Tier.MINUTE, start__gte=minutes[0], start__lte=minutes[-1]
        ).values_list("start", "count", "total_ms", "failed")
        for start, count, total_ms, failed in rows:
            values[_place(start, minutes)] = total_ms / count, failed / count
        step = _step(series, values, minutes)
        if step is not None:
            found.append(step)
    return found


def _step(
    series: Series, values: Sequence[tuple[float, float] | None], minutes: Sequence[datetime]
) -> CallStep | None:
    name = f"{series.name} in {series.app.name}" if series.app else series.name
    slower = find_step(
        [value and value[0] for value in values],
        min_factor=MIN_SLOWER,
        min_change=MIN_SLOWER_MS,
        min_after=MIN_AFTERWARDS,
    )
    failing = find_step(
        [value and value[1] for value in values], min_change=MIN_FAILING, min_after=MIN_AFTERWARDS
    )
    if failing is not None and failing.after > failing.before:
        text = (
            f"{name} began to fail ({failing.after:.0%} of the calls, {failing.before:.0%} before)"
        )
        return _call_step(series, text, failing, minutes)
    if slower is not None and slower.after > slower.before:
        text = (
            f"{name} became {_times(slower.factor)} slower"
            f" ({formats.quantity(slower.before, 'ms')} to {formats.quantity(slower.after, 'ms')} on average)"
        )
        return _call_step(series, text, slower, minutes)
    return None


def _call_step(
    series: Series, text: str, step: Step, minutes: Sequence[datetime]
) -> CallStep | None:
    if series.app_id is None:
        return None
    return CallStep(
        minutes[step.position],
        text,
        series.app_id,
        series.environment,
        min(step.factor, 100.0),
        series.name,
    )


def _times(factor: float) -> str:
    return "much" if factor > 100 else f"{factor:.0f} times"


def _suspicious(at: datetime) -> list[Series]:
    """Return up to MAX_SERIES functions that were slower or failed more often than usual in one of the PARTS."""
    sums: dict[str, Any] = {}
    spans = [
        (USUAL, PARTS[0][0] * MINUTE),
        *((first * MINUTE, last * MINUTE) for first, last in PARTS),
    ]
    for number, (first, last) in enumerate(spans):
        within = Q(start__gte=at - first, start__lt=at - last)
        for field in ("count", "total_ms", "failed"):
            sums[f"{field}_{number}"] = Sum(field, filter=within)
    rows = (
        Latency.objects.filter(
            series__in=Series.objects.of_apps(SeriesKind.FUNCTION),
            tier=Tier.MINUTE,
            start__gte=at - USUAL,
            start__lt=at + AFTERWARDS,
        )
        .order_by()
        .values("series_id")
        .annotate(**sums)
    )
    worse: dict[int, float] = {}
    for row in rows:
        usual = _part(row, 0)
        parts = [part for number in range(1, len(spans)) if (part := _part(row, number))]
        if usual is None or not parts:
            continue
        slower = max(mean for mean, _ in parts) / max(usual[0], 1.0)
        failing = max(share for _, share in parts) - usual[1]
        if slower >= 1.3 or failing >= MIN_FAILING / 2:
            worse[row["series_id"]] = max(slower, 10 * failing)
    chosen = sorted(worse, key=lambda pk: (-worse[pk], pk))[:MAX_SERIES]
    return list(Series.objects.filter(pk__in=chosen).select_related("app").order_by("pk"))


def _part(row: Mapping[str, Any], number: int) -> tuple[float, float] | None:
    """Return the mean duration in ms and the share of failures in a part, or None if the part has no calls.

    Part 0 contains the usual level, and the PARTS have the numbers from 1.
    """
    count = row[f"count_{number}"]
    if not count:
        return None
    return row[f"total_ms_{number}"] / count, row[f"failed_{number}"] / count


def find_traffic_steps(at: datetime) -> Iterator[CallStep]:
    """Yield a step for each app and environment whose number of requests at least doubled or halved before `at`."""
    minutes = [minute for minute in _minutes(at) if minute + MINUTE <= at]
    rows = (
        Latency.objects.filter(
            series__in=Series.objects.of_apps(SeriesKind.REQUEST),
            tier=Tier.MINUTE,
            start__gte=minutes[0],
            start__lte=minutes[-1],
        )
        .order_by()
        .values_list("series__app_id", "series__app__name", "series__environment", "start")
        .annotate(calls=Sum("count"))
    )
    counts: dict[tuple[int, str, str], list[float]] = {}
    for app_id, name, environment, start, calls in rows:
        of_app = counts.setdefault((app_id, name, environment), [0.0] * len(minutes))
        of_app[_place(start, minutes)] += calls
    for (app_id, name, environment), values in sorted(counts.items()):
        step = find_step(values, min_change=MIN_REQUESTS, min_after=MIN_AFTERWARDS)
        if step is None or not step.before:
            continue  # The app began to report during this time, which is not a change in traffic.
        amount = f"{step.before:,.0f} to {step.after:,.0f} a minute"
        what = "rose" if step.after > step.before else "fell"
        yield CallStep(
            minutes[step.position],
            f"Requests of {name} {what} from {amount}",
            app_id,
            environment,
            min(max(step.factor, 0.01), 100.0),
        )


def _minutes(at: datetime) -> list[datetime]:
    first = Tier.MINUTE.floor(at - USUAL)
    return [first + number * MINUTE for number in range((USUAL + AFTERWARDS) // MINUTE + 1)]


def _place(start: datetime, minutes: Sequence[datetime]) -> int:
    return (start - minutes[0]) // MINUTE
