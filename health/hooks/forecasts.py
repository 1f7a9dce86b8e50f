"""Forecast when limits are reached and when backlogs are cleared.

The limits are the error budget, the size of the disk, and the limits of the hosting plan.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.urls import reverse

from alerts.queries.outbox import load_backlog_course
from core.lib.forecasts import Forecast, Trend, forecast, pace
from core.lib.formats import quantity, span
from health.extension_points import forecast_source
from health.models import Series, SeriesKind, Tier, Value
from health.queries import usage
from health.queries.budgets import forecast_budgets
from health.queries.database_size import (
    database_size_bytes,
    forecast_size,
    free_disk_bytes,
    load_course,
)
from health.queries.usage import WARNING_SHARE, load_thresholds
from health.services.gauges import QUEUE_BACKLOG

HOUR = timedelta(hours=1)
BACKLOG_BASES = (timedelta(minutes=10), HOUR)
MAX_BUDGETS = 5


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


@forecast_source("health.error_budget")
def error_budgets(now: datetime) -> Iterator[Forecast]:
    for budget in forecast_budgets(now=now)[:MAX_BUDGETS]:
        yield Forecast(
            f"Error budget of {budget.component} used up",
            budget.trend,
            budget.basis,
            reverse("health:uptime"),
        )


@forecast_source("health.database")
def database(now: datetime) -> Iterator[Forecast]:
    """Forecast when the database will reach the limit of the hosting plan.

    If the database is on this machine, also forecast when the growth of the database will fill the disk.
    """
    free, size, course = free_disk_bytes(), database_size_bytes(), load_course(now=now)
    if free is not None:
        trend = forecast_size(course, limit=size + free, now=now)
        yield Forecast(
            "Disk full",
            trend,
            _join(
                pace(trend, "bytes"),
                f"{quantity(free, 'bytes')} free",
                "only the growth of the database is counted",
            ),
            reverse("health:system-health") + "?tab=platform",
        )
    limit = load_thresholds()["usage.database_size"] * 1e9 / WARNING_SHARE
    trend = forecast_size(course, limit=limit, now=now)
    used = f"{quantity(size, 'bytes')} of {quantity(limit, 'bytes')} used"
    yield Forecast("Plan limit of the database reached", trend, _join(pace(trend, "bytes"), used))


@forecast_source("health.plan_limits")
def plan_limits(now: datetime) -> Iterator[Forecast]:
    thresholds = load_thresholds()
    calls = thresholds["usage.function_calls"] / WARNING_SHARE
    trend = usage.forecast_function_calls(limit=calls, now=now)
    yield Forecast(
        "Plan limit of function calls reached",
        trend,
        _join(
            _calls_pace(trend),
            f"limit {calls:,.0f} in 24 h",
        ),
    )
    sent = thresholds["usage.bandwidth"] * 1e9 / WARNING_SHARE
    trend = usage.forecast_bandwidth(limit=sent, now=now)
    until = usage.next_month_of(now)
    yield Forecast(
        "Plan limit of bandwidth reached",
        trend,
        _join(
            f"{quantity(trend.rate, 'bytes')} a day in the last {span(trend.basis)}"
            if trend.basis
            else "",
            f"{quantity(trend.level or 0, 'bytes')} of {quantity(sent, 'bytes')} used",
            f"the count restarts on 1 {until:%b}",
        ),
    )


def _calls_pace(trend: Trend) -> str:
    """Describe the change in the daily number of calls, such as "20,000 more calls each day in the last 13 d"."""
    if not trend.basis:
        return ""
    change = round(abs(trend.rate))
    since = f"in the last {span(trend.basis)}"
    if not change:
        return f"the number of calls a day did not change {since}"
    noun = "call" if change == 1 else "calls"
    return f"{change:,} {'more' if trend.rate > 0 else 'fewer'} {noun} each day {since}"


@forecast_source("health.backlogs")
def backlogs(now: datetime) -> Iterator[Forecast]:
    """Forecast when the existing backlogs will be cleared."""
    rows = Value.objects.filter(
        series__in=Series.objects.filter(kind=SeriesKind.GAUGE, name=QUEUE_BACKLOG),
        tier=Tier.MINUTE,
        start__gt=now - HOUR,
    ).order_by("start")
    queue = list(rows.values_list("start", "last"))
    for title, course, unit in (
        ("Backlog of the task queue cleared", queue, "tasks"),
        ("Backlog of notifications cleared", load_backlog_course(now=now, length=HOUR), "messages"),
    ):
        if not course or not course[-1][1]:
            continue
        trend = forecast(course, limit=0, now=now, bases=BACKLOG_BASES, is_falling=True)
        yield Forecast(
            title,
            trend,
            _join(f"{quantity(course[-1][1], unit)} waiting", pace(trend, unit, per="hour")),
        )
