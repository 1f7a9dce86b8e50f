"""Read the uptime of components from hourly and daily roll-ups and, for the last hours, from single results.

Degraded results count as up. Results during maintenance and times without results are not included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import Count, F, Min, Q, Sum

from core.lib import formats
from core.lib.db_time import EpochSeconds
from health.models import CheckResult, Component, Tier, Uptime
from health.verdict import Status, Tone

GOAL = 0.999
CRITICAL_BELOW_PERCENT = 99
WINDOWS: dict[str, timedelta] = {
    "24 h": timedelta(hours=24),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "90 d": timedelta(days=90),
}
# No percentage is shown for a shorter time, because a short failure would distort it too much.
MIN_MEASURED = timedelta(hours=24)
# Longer windows are read from hourly roll-ups instead of single results.
MAX_RAW_WINDOW = timedelta(hours=12)


@dataclass(frozen=True)
class Availability:
    """The number of "up" and "down" results in a time window."""

    up: int = 0
    down: int = 0

    @property
    def total(self) -> int:
        return self.up + self.down

    @property
    def percent(self) -> float | None:
        return 100 * self.up / self.total if self.total else None

    @property
    def meets_goal(self) -> bool:
        return self.percent is None or self.percent >= 100 * GOAL

    @property
    def tone_class(self) -> str:
        """Return the CSS class for the percentage."""
        if self.percent is None:
            return "quiet"
        return "" if self.meets_goal else "tone-warning strong"

    @property
    def budget_left(self) -> float | None:
        """Return the remaining share of the error budget, or None if there are no results.

        The share is 1 if the budget is unused, and negative if it is overspent.
        """
        return 1 - self.down / self.total / (1 - GOAL) if self.total else None

    @property
    def burn_rate(self) -> float | None:
        """Return how fast the error budget is spent, as a multiple of the allowed rate.

        Return None if there are no results.
        """
        return self.down / self.total / (1 - GOAL) if self.total else None


def _tier(window: timedelta) -> Tier:
    return Tier.HOUR if window <= timedelta(days=7) else Tier.DAY


def load_availability(
    components: Iterable[Component], window: timedelta, *, now: datetime
) -> dict[int, Availability]:
    """Return the availability of each component by its id, in the window that ends at `now`.

    Components without results are left out.
    """
    tier = _tier(window)
    rows = (
        Uptime.objects.filter(
            component__in=list(components), tier=tier, start__gt=tier.floor(now - window)
        )
        .values_list("component_id")
        .annotate(up=Sum("healthy") + Sum("degraded"), down=Sum("unhealthy"))
    )
    return {pk: Availability(up, down) for pk, up, down in rows}


@dataclass(frozen=True)
class Day:
    """A UTC day in the history of a component, drawn as a bar."""

    date: datetime
    availability: Availability
    was_degraded: bool = False
    was_maintained: bool = False

    @property
    def tone(self) -> Tone:
        percent = self.availability.percent
        if percent is None:
            return Tone.NONE
        if percent < 100 * GOAL:
            return Tone.CRITICAL if percent < CRITICAL_BELOW_PERCENT else Tone.WARNING
        return Tone.WARNING if self.was_degraded else Tone.OK


def day_in_words(day: Day) -> str:
    """Return the text of a day's bar, such as "3 Mar 2026: 99.95 % up"."""
    date, percent = _date_in_words(day.date), day.availability.percent
    if percent is None:
        return f"{date}: {'maintenance' if day.was_maintained else 'no data'}"
    maintained = ", with maintenance" if day.was_maintained else ""
    return f"{date}: {percent_in_words(percent)} up{maintained}"


@lru_cache(maxsize=200)  # All components show the same ninety days.
def _date_in_words(date: datetime) -> str:
    return f"{date.day} {date:%b %Y}"


def percent_in_words(value: float | None) -> str:
    """Format a percentage, such as 99.95 as "99.95 %". A value below 100 is never rounded up to 100."""
    if value is None:
        return formats.NONE
    return "100 %" if value == 100 else f"{min(value, 99.99):.2f} %"


def load_days(
    components: Iterable[Component], *, now: datetime, count: int = 90
) -> dict[int, list[Day]]:
    """Return the last `count` UTC days of each component by its id, oldest first, including days without results."""
    components = list(components)
    today = Tier.DAY.floor(now)
    dates = [today - timedelta(days=ago) for ago in reversed(range(count))]
    empty = [Day(date, Availability()) for date in dates]
    found = {component.pk: list(empty) for component in components}
    # Days are read as numbers, because converting hundreds of timestamps takes longer than the rest of the query.
    day_number = EpochSeconds("start") / Tier.DAY.value
    rows = Uptime.objects.filter(component__in=components, tier=Tier.DAY, start__gte=dates[0])
    first = int(dates[0].timestamp()) // Tier.DAY.value
    for pk, number, healthy, degraded, unhealthy, maintenance in rows.values_list(
        "component_id", day_number, "healthy", "degraded", "unhealthy", "maintenance"
    ):
        place = number - first
        if place < count:  # A clock that was ahead may have stored results of a later day.
            found[pk][place] = Day(
                dates[place],
                Availability(healthy + degraded, unhealthy),
                # The color of the day does not change if at most 1 % of the results are degraded.
                was_degraded=degraded * 100 > healthy + degraded,
                was_maintained=maintenance > 0,
            )
    return found


@dataclass(frozen=True)
class UptimeLine:
    """A component with its history, and its availability in each of WINDOWS."""

    component: Component
    days: list[Day]
    # Lists one availability for each of WINDOWS, in the same order.
    availabilities: list[Availability]
    # None if the first result is older than the longest window.
    measured_since: datetime | None
    now: datetime

    @property
    def by_window(self) -> list[tuple[str, Availability]]:
        """Return the name and the availability of each window.

        The availability is empty if the component was not measured during the whole window.
        """
        return [
            (name, availability if self.covers(window) else Availability())
            for (name, window), availability in zip(
                WINDOWS.items(), self.availabilities, strict=True
            )
        ]

    def covers(self, window: timedelta) -> bool:
        """Return True if the component was measured during the whole window.

        The start has the precision of the roll-up, which is an hour or a day.
        """
        start = self.now - window
        return self.measured_since is None or self.measured_since <= start + _tier(window).length

    @property
    def lifetime_percent(self) -> float | None:
        """Return the uptime in the longest window, or since the first result if that is more recent.

        Return None during the first day.
        """
        since = self.measured_since
        if since is not None and self.now - since < MIN_MEASURED:
            return None
        return self.availabilities[-1].percent

    @property
    def budget_left_percent(self) -> float | None:
        """Return the remaining error budget of the last 30 days in percent.

        Return None if the component was not measured during all 30 days.
        """
        left = dict(self.by_window)["30 d"].budget_left
        return None if left is None else 100 * left

    @property
    def is_budget_overspent(self) -> bool:
        return (self.budget_left_percent or 0) < 0

    @property
    def budget_tone_class(self) -> str:
        if self.budget_left_percent is None:
            return "quiet"
        return "tone-critical strong" if self.is_budget_overspent else ""

    @property
    def budget_text(self) -> str:
        if self.budget_left_percent is None:
            return formats.NONE
        return "overspent" if self.is_budget_overspent else f"{self.budget_left_percent:.0f} %"


def load_lines(components: Iterable[Component], *, now: datetime) -> list[UptimeLine]:
    """Return the history and availability of each component, in the order of `components`."""
    components = list(components)
    history = load_days(components, now=now, count=max(WINDOWS.values()).days)
    by_window = [
        load_availability(components, window, now=now)
        if _tier(window) is Tier.HOUR
        else {pk: _sum_of(found[-window.days :]) for pk, found in history.items()}
        for window in WINDOWS.values()
    ]
    since = _measured_since(history, now)
    return [
        UptimeLine(
            one,
            history[one.pk],
            [found.get(one.pk, Availability()) for found in by_window],
            since[one.pk],
            now,
        )
        for one in components
    ]


def _measured_since(history: Mapping[int, list[Day]], now: datetime) -> dict[int, datetime | None]:
    """Return the time of each component's first result, rounded down to the hour if it is recent, or else to the day.

    The value is None for a component that was measured on all days of the history, and `now` for one without results.
    """
    found: dict[int, datetime | None] = {}
    for pk, days in history.items():
        first = next((day for day in days if day.availability.total or day.was_maintained), None)
        found[pk] = None if first is days[0] else first.date if first else now
    recent = [pk for pk, since in found.items() if since and now - since < timedelta(days=2)]
    hours = (
        Uptime.objects.filter(component__in=recent, tier=Tier.HOUR)
        .values_list("component_id")
        .annotate(first=Min("start"))
    )
    return found | (dict(hours) if recent else {})


def _sum_of(days: Sequence[Day]) -> Availability:
    return Availability(
        sum(day.availability.up for day in days), sum(day.availability.down for day in days)
    )


def load_recent_availability(
    window: timedelta, *, now: datetime, since_status_change: bool = False
) -> dict[int, Availability]:
    """Return the availability of each component with results in the window, by the component's id.

    Windows up to MAX_RAW_WINDOW are exact, and longer ones have a precision of an hour. With `since_status_change`,
    only results since a component's last change of status count, so that past outages, which had their own alerts, are
    excluded. `since_status_change` has no effect on windows longer than MAX_RAW_WINDOW.
    """
    if window > MAX_RAW_WINDOW:
        hours = (
            Uptime.objects.filter(tier=Tier.HOUR, start__gt=Tier.HOUR.floor(now - window))
            .values_list("component_id")
            .annotate(up=Sum("healthy") + Sum("degraded"), down=Sum("unhealthy"))
        )
        return {pk: Availability(up, down) for pk, up, down in hours}
    results = CheckResult.objects.filter(at__gt=now - window, at__lte=now, is_maintained=False)
    if since_status_change:
        results = results.filter(at__gte=F("component__since"))
    rows = results.values_list("component_id").annotate(
        up=Count("pk", filter=~Q(status=Status.UNHEALTHY)),
        down=Count("pk", filter=Q(status=Status.UNHEALTHY)),
    )
    return {pk: Availability(up, down) for pk, up, down in rows}
