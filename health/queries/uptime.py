"""How much of the time things worked, against the goal: from hours and days, and from raw results for the last hours.

Degraded is up. Maintenance is nobody's downtime. A time without results is not counted at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import Count, F, Q, Sum

from health.models import CheckResult, Component, Tier, Uptime
from health.verdict import Status
from opsportal.lib import formats

GOAL = 0.999
WINDOWS: dict[str, timedelta] = {
    "24 h": timedelta(hours=24),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "90 d": timedelta(days=90),
}


@dataclass(frozen=True)
class Share:
    """Results of a window that say up and down."""

    up: int = 0
    down: int = 0

    @property
    def percent(self) -> float | None:
        total = self.up + self.down
        return 100 * self.up / total if total else None

    @property
    def meets_goal(self) -> bool:
        return self.percent is None or self.percent >= 100 * GOAL

    @property
    def budget_left(self) -> float | None:
        """What is left of the error budget, as a share: 1 is untouched, below 0 is overdrawn."""
        total = self.up + self.down
        return 1 - self.down / total / (1 - GOAL) if total else None

    @property
    def burn_rate(self) -> float | None:
        """How many times faster than allowed the budget is used up."""
        total = self.up + self.down
        return self.down / total / (1 - GOAL) if total else None


def _tier(window: timedelta) -> Tier:
    return Tier.HOUR if window <= timedelta(days=7) else Tier.DAY


def shares(
    components: Iterable[Component], window: timedelta, *, now: datetime
) -> dict[int, Share]:
    """Each component's share in the window that ends now, by its id."""
    tier = _tier(window)
    rows = (
        Uptime.objects.filter(
            component__in=list(components), tier=tier, start__gt=tier.floor(now - window)
        )
        .values_list("component_id")
        .annotate(up=Sum("healthy") + Sum("degraded"), down=Sum("unhealthy"))
    )
    return {pk: Share(up, down) for pk, up, down in rows}


@dataclass(frozen=True)
class Day:
    """One bar."""

    date: datetime
    share: Share
    was_degraded: bool = False
    was_maintained: bool = False

    @property
    def tone(self) -> str:
        percent = self.share.percent
        if percent is None:
            return "none"
        if percent < 100 * GOAL:
            return "critical" if percent < 99 else "warning"
        return "warning" if self.was_degraded else "ok"


def day_in_words(day: Day) -> str:
    date, percent = _date_in_words(day.date), day.share.percent
    if percent is None:
        return f"{date}: {'maintenance' if day.was_maintained else 'no data'}"
    maintained = ", with maintenance" if day.was_maintained else ""
    return f"{date}: {percent_in_words(percent)} up{maintained}"


@lru_cache(maxsize=200)  # every component has the same ninety days
def _date_in_words(date: datetime) -> str:
    return f"{date.day} {date:%b %Y}"


def percent_in_words(value: float | None) -> str:
    """99.95 -> "99.95 %"; never rounded up to 100."""
    if value is None:
        return formats.NONE
    return "100 %" if value == 100 else f"{min(value, 99.99):.2f} %"


def days(
    components: Iterable[Component], *, now: datetime, count: int = 90
) -> dict[int, list[Day]]:
    """The last `count` (UTC) days of each component, oldest first; days without results are empty."""
    components = list(components)
    today = Tier.DAY.floor(now)
    dates = [today - timedelta(days=ago) for ago in reversed(range(count))]
    found: dict[tuple[int, datetime], Day] = {}
    rows = Uptime.objects.filter(
        component__in=components, tier=Tier.DAY, start__gte=dates[0]
    ).values_list("component_id", "start", "healthy", "degraded", "unhealthy", "maintenance")
    for pk, start, healthy, degraded, unhealthy, maintenance in rows.iterator():
        found[pk, start] = Day(
            start,
            Share(healthy + degraded, unhealthy),
            # A few degraded answers do not colour a day.
            was_degraded=degraded * 100 > healthy + degraded,
            was_maintained=maintenance > 0,
        )
    return {
        component.pk: [found.get((component.pk, date)) or Day(date, Share()) for date in dates]
        for component in components
    }


@dataclass(frozen=True)
class Line:
    """A component with everything its line on a page shows."""

    component: Component
    days: list[Day]
    shares: list[Share]  # one per window of WINDOWS

    @property
    def by_window(self) -> list[tuple[str, Share]]:
        return list(zip(WINDOWS, self.shares, strict=True))

    @property
    def budget_left_percent(self) -> float | None:
        """Of the last 30 days' error budget."""
        left = self.shares[list(WINDOWS).index("30 d")].budget_left
        return None if left is None else 100 * left


def lines(components: Iterable[Component], *, now: datetime) -> list[Line]:
    components = list(components)
    history = days(components, now=now, count=max(WINDOWS.values()).days)
    by_window = [
        shares(components, window, now=now)
        if _tier(window) is Tier.HOUR
        else {pk: _added_up(found[-window.days :]) for pk, found in history.items()}
        for window in WINDOWS.values()
    ]
    return [
        Line(one, history[one.pk], [found.get(one.pk, Share()) for found in by_window])
        for one in components
    ]


def _added_up(days: Sequence[Day]) -> Share:
    return Share(sum(day.share.up for day in days), sum(day.share.down for day in days))


RAW_UP_TO = timedelta(hours=12)


def recent_shares(
    window: timedelta, *, now: datetime, since_turned: bool = False
) -> dict[int, Share]:
    """Every component's share in the window, to the minute up to 12 hours, to the hour beyond.

    `since_turned`: only what came since its verdict last turned, and so nothing of an outage that is over and was told.
    """
    if window > RAW_UP_TO:
        hours = (
            Uptime.objects.filter(tier=Tier.HOUR, start__gt=Tier.HOUR.floor(now - window))
            .values_list("component_id")
            .annotate(up=Sum("healthy") + Sum("degraded"), down=Sum("unhealthy"))
        )
        return {pk: Share(up, down) for pk, up, down in hours}
    results = CheckResult.objects.filter(at__gt=now - window, at__lte=now, is_maintained=False)
    if since_turned:
        results = results.filter(at__gte=F("component__since"))
    rows = results.values_list("component_id").annotate(
        up=Count("pk", filter=~Q(status=Status.UNHEALTHY)),
        down=Count("pk", filter=Q(status=Status.UNHEALTHY)),
    )
    return {pk: Share(up, down) for pk, up, down in rows}
