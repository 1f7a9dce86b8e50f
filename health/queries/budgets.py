"""Forecast when the error budgets of components will be used up."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.lib.forecasts import Outlook, Trend, forecast, soonest_key
from core.lib.formats import span
from health.models import CheckResult, Component, Tier, Uptime
from health.queries.uptime import GOAL, WINDOWS, load_availability
from health.verdict import Status

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOW = WINDOWS["30 d"]
BASES = (timedelta(minutes=12), HOUR, 6 * HOUR, DAY, 7 * DAY)
# Recent failures are counted one by one and older ones by hour, so that an outage changes the forecast in minutes.
RAW = 6 * HOUR
STEP = timedelta(minutes=2)


@dataclass(frozen=True)
class Budget:
    component: Component
    trend: Trend
    basis: str


def forecast_budgets(*, now: datetime) -> list[Budget]:
    """Return the budgets of components that failed in the last week, with a forecast of when each will be used up.

    The budget that will be used up first comes first. A budget covers the last 30 days. The forecast does not subtract
    failures that become older than 30 days, so a budget may last longer.
    """
    week = Uptime.objects.filter(tier=Tier.HOUR, start__gte=now - 7 * DAY, unhealthy__gt=0)
    components = list(Component.objects.in_use().filter(pk__in=week.values("component")))
    if not components:
        return []
    used = load_availability(components, WINDOW, now=now)
    courses = _courses(components, now)
    found = []
    for component in components:
        availability = used.get(component.pk)
        if availability is None or not availability.total:
            continue
        allowed = (1 - GOAL) * availability.total
        course = courses[component.pk]
        before = availability.down - course[-1][1]
        trend = forecast(
            [(at, before + failed) for at, failed in course], limit=allowed, now=now, bases=BASES
        )
        percent = 100 * availability.down / allowed if allowed else 0.0
        basis = f"{percent:,.0f} % of the budget of the last 30 days used"
        if trend.basis and trend.outlook is Outlook.EXPECTED:
            basis += f"; {100 * trend.rate / allowed:,.0f} % a day in the last {span(trend.basis)}"
        found.append(Budget(component, trend, basis))
    return sorted(found, key=lambda one: soonest_key(one.trend))


def _courses(components: list[Component], now: datetime) -> dict[int, list[tuple[datetime, float]]]:
    """Return pairs of a time and the number of failed results up to then, by the component's id.

    There is a pair for each hour of the last week and, within RAW, one for each STEP.
    """
    raw_since = Tier.HOUR.floor(now - RAW)
    by_hour: dict[int, dict[datetime, int]] = defaultdict(dict)
    rows = Uptime.objects.filter(
        component__in=components, tier=Tier.HOUR, start__gt=now - 7 * DAY, start__lt=raw_since
    )
    for pk, start, down in rows.values_list("component_id", "start", "unhealthy"):
        by_hour[pk][start] = down
    failures: dict[int, list[datetime]] = defaultdict(list)
    raw = CheckResult.objects.filter(
        component__in=components,
        at__gte=raw_since,
        at__lte=now,
        status=Status.UNHEALTHY,
        is_maintained=False,
    )
    for pk, at in raw.values_list("component_id", "at").order_by("at"):
        failures[pk].append(at)
    return {
        one.pk: _course(by_hour[one.pk], failures[one.pk], raw_since, now) for one in components
    }


def _course(
    by_hour: dict[datetime, int], failures: list[datetime], raw_since: datetime, now: datetime
) -> list[tuple[datetime, float]]:
    course, total = [], 0.0
    hour = min(by_hour, default=raw_since)
    while hour < raw_since:
        total += by_hour.get(hour, 0)
        hour += HOUR
        course.append((hour, total))
    at, place = raw_since, 0
    while at <= now:
        while place < len(failures) and failures[place] <= at:
            place += 1
        course.append((at, total + place))
        at += STEP
    course.append((now, total + len(failures)))
    return course
