"""Define overview figures about requests, active users and uptime."""

from datetime import datetime, timedelta

from django.db.models import Sum

from core.lib.app_access import limit
from core.lib.charts import Chart
from core.lib.charts import Series as Line
from health.extension_points import Reading, WidgetContext, overview_figure
from health.hooks.dashboard_widgets.performance import summarize_calls
from health.models import ActiveUser, Component, Series, SeriesKind, Tier, Uptime
from health.queries import latencies, uptime, values
from health.queries.latencies import LatencySummary
from health.services.gauges import ACTIVE_USERS, ACTIVE_WITHIN
from health.verdict import Status, Tone

_HOUR, _WEEK = timedelta(hours=1), timedelta(weeks=1)
_UPTIME_DAYS = 30


def _requests_in_hour(context: WidgetContext, *, week_ago: bool = False) -> LatencySummary:
    """Return a summary of the requests of the last hour.

    With `week_ago`, return a summary of the clock hour that contains the time one week ago.
    """
    series = Series.objects.total(SeriesKind.REQUEST)
    if not week_ago:
        return context.load_once(
            lambda: latencies.summarize(series, context.now - _HOUR, context.now),
            key=_requests_in_hour,
        )
    return context.load_once(
        lambda: latencies.summarize_hour(series, context.now - _WEEK), key=_WEEK
    )


@overview_figure(
    "health.failed_requests",
    label="Failed requests",
    order=20,
    widget="health.response_times",
    is_less_better=True,
)
def failed_requests(context: WidgetContext) -> Reading:
    last, before = _requests_in_hour(context), _requests_in_hour(context, week_ago=True)
    slots = summarize_calls(context, SeriesKind.REQUEST)
    return Reading(
        _percent(last.failure_share),
        "%",
        week_ago=_percent(before.failure_share),
        note=f"{last.failed:,} of {last.count:,} requests" if last.count else "no requests",
        chart=Chart(
            title="Failed requests",
            times=list(slots),
            series=[Line("Failed", [_percent(slot.failure_share) for slot in slots.values()])],
            unit="%",
        ),
    )


@overview_figure(
    "health.p95",
    label="Response time, p95",
    order=30,
    widget="health.response_times",
    on_timeline=True,
    is_less_better=True,
)
def response_time(context: WidgetContext) -> Reading:
    slots = summarize_calls(context, SeriesKind.REQUEST)
    return Reading(
        _requests_in_hour(context).percentile(0.95),
        "ms",
        week_ago=_requests_in_hour(context, week_ago=True).percentile(0.95),
        note="in the last hour",
        chart=Chart(
            title="Response time of requests",
            times=list(slots),
            series=[
                Line(label, [slot.percentile(q) for slot in slots.values()], kind="line")
                for label, q in (("p95", 0.95), ("p50", 0.5))
            ],
            unit="ms",
            empty="No requests were reported in this time range.",
        ),
    )


@overview_figure("health.active_users", label="Active users", order=40, widget="health.users")
def active_users(context: WidgetContext) -> Reading:
    """Return the number of users who were active in the last 15 minutes."""
    slots = values.level_per_slot(ACTIVE_USERS, context.since, context.now, highest=True)
    return Reading(
        ActiveUser.objects.seen_since(context.now - ACTIVE_WITHIN).user_count(),
        week_ago=values.level_in_hour(ACTIVE_USERS, context.now - _WEEK),
        note="in the last 15 min",
        chart=Chart(
            title="Active users",
            times=list(slots),
            series=[Line("Users", list(slots.values()))],
            unit="users",
        ),
    )


@overview_figure(
    "health.uptime",
    label="Uptime, 30 days",
    order=60,
    url_name="health:uptime",
    is_less_better=False,
    respects_apps=True,
)
def uptime_of_the_month(context: WidgetContext) -> Reading:
    """Return the uptime of all required components over the last 30 days, with the remaining error budget."""
    required = limit(Component.objects.in_use()).filter(is_required=True)
    # With a subquery instead of ids, SQLite would not use the index, and would read the history of all components.
    status_by_id = dict(required.values_list("pk", "status"))
    today = Tier.DAY.floor(context.now)
    dates = [today - timedelta(days=ago) for ago in reversed(range(_UPTIME_DAYS))]
    rows = (
        Uptime.objects.filter(component__in=list(status_by_id), tier=Tier.DAY, start__gte=dates[0])
        .values_list("start")
        .annotate(up=Sum("healthy") + Sum("degraded"), down=Sum("unhealthy"))
    )
    by_day = {start: uptime.Availability(up, down) for start, up, down in rows}
    total = uptime.Availability(
        sum(day.up for day in by_day.values()), sum(day.down for day in by_day.values())
    )
    is_down = Status.UNHEALTHY in status_by_id.values()
    first_day = min(by_day, default=None)
    if first_day is not None and context.now - first_day < uptime.MIN_MEASURED:
        # Like the list of components, show no percentage during the first day.
        total, note = uptime.Availability(), f"measured since {first_day.day} {first_day:%b}"
    else:
        note = _budget_in_words(total, since=first_day, first=dates[0])
    return Reading(
        total.percent,
        text=uptime.percent_in_words(total.percent),
        note=note,
        tone=Tone.CRITICAL if is_down else Tone.NONE if total.meets_goal else Tone.WARNING,
        chart=Chart(
            title="Uptime by day",
            times=dates,
            series=[
                Line("Up", [by_day.get(date, uptime.Availability()).percent for date in dates])
            ],
            unit="%",
        ),
    )


def _budget_in_words(
    availability: uptime.Availability, *, since: datetime | None, first: datetime
) -> str:
    left = availability.budget_left
    if left is None or since is None:
        return "no results yet"
    budget = (
        "error budget overspent" if left < 0 else f"{100 * left:.0f} % of the error budget left"
    )
    return budget if since <= first else f"{budget}, since {since.day} {since:%b}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
