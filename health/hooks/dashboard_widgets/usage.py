"""Widgets about usage: database size, calls and bandwidth against their limits, and deliveries."""

from datetime import datetime, timedelta

from alerts.extension_points import alert_rules
from alerts.models import AlertRule
from core.lib.charts import Chart, Series, Threshold
from health.extension_points import Tab, WidgetContext, widget
from health.models import SeriesKind
from health.queries import resolutions, usage, values
from health.queries.database_size import database_size_bytes
from health.queries.deliveries import DeliveryCounts, series_name
from health.services.gauges import DATABASE_SIZE
from health.signals import DELIVERY_OUTCOMES

Levels = dict[datetime, float | None]
# The usage rules warn at 80 % of a plan's limit, so the limit follows from the rule's threshold.
WARNING_SHARE = 0.8
MAX_APPS = 5
MAX_FAILURE_PERCENT = 10
MAX_DAYS_LEFT = 3_650
WEEK = timedelta(days=7)


def load_thresholds() -> dict[str, float]:
    """Return the thresholds of the usage rules: as set by staff, or the defaults."""
    names = ("usage.database_size", "usage.function_calls", "usage.bandwidth")
    found = {name: alert_rules.get(name).threshold for name in names}
    found.update(AlertRule.objects.filter(name__in=names).values_list("name", "threshold"))
    return found


@widget(
    "health.database",
    title="Database",
    template="health/_widget_database.html",
    refresh=60,
    order=400,
    size="medium",
    tab=Tab.PLATFORM,
)
def database(context: WidgetContext) -> dict[str, object]:
    size = database_size_bytes()
    warning = context.load_once(load_thresholds)["usage.database_size"] * 1e9
    week = values.level_per_slot(DATABASE_SIZE, context.now - WEEK, context.now)
    slots = _slots_to_show(week, context)
    growth = _growth_per_day(week)
    days_left = (warning - size) / growth if growth and growth > 0 and size < warning else None
    return {
        "size": size,
        "is_above_warning": size > warning,
        "warning": warning,
        "growth": growth,
        "days_left": round(days_left)
        if days_left is not None and days_left < MAX_DAYS_LEFT
        else None,
        "chart": Chart(
            title="Database size",
            times=list(slots),
            series=[Series("Size", list(slots.values()))],
            unit="bytes",
            thresholds=[Threshold(warning, "warning", "warning")] if size > warning / 3 else [],
            empty="The size is measured every minute. The first value will appear soon.",
        ),
    }


def _slots_to_show(week: Levels, context: WidgetContext) -> Levels:
    """Return the slots of the selected range, taken from `week` if the resolution is the same."""
    resolution = resolutions.value_resolution_for(context.range)
    if context.range > WEEK or resolution != resolutions.value_resolution_for(WEEK):
        return values.level_per_slot(DATABASE_SIZE, context.since, context.now)
    first = resolution.floor(context.since)
    return {at: size for at, size in week.items() if at >= first}


def _growth_per_day(week: Levels) -> float | None:
    """Return the growth in bytes per day over the known part of the week; None within the first hour."""
    known = [(at, size) for at, size in week.items() if size is not None]
    if len(known) < 2:
        return None
    (first_at, first), (last_at, last) = known[0], known[-1]
    return (last - first) / ((last_at - first_at) / timedelta(days=1))


@widget(
    "health.usage",
    title="API usage",
    template="health/_widget_usage.html",
    refresh=60,
    order=410,
    size="medium",
    tab=Tab.PLATFORM,
)
def api_usage(context: WidgetContext) -> dict[str, object]:
    thresholds = context.load_once(load_thresholds)
    month = context.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    calls = usage.function_call_count(context.now - timedelta(days=1), context.now)
    sent = usage.bandwidth_bytes(month, context.now)
    return {
        "usages": [
            {
                "label": "Function calls, last 24 h",
                "value": calls,
                "unit": "calls",
                "limit": thresholds["usage.function_calls"] / WARNING_SHARE,
            },
            {
                "label": f"Bandwidth since 1 {context.now:%b}",
                "value": sent,
                "unit": "bytes",
                "limit": thresholds["usage.bandwidth"] * 1e9 / WARNING_SHARE,
            },
        ],
        "apps": usage.call_count_by_app(context.since, context.now)[:MAX_APPS],
    }


CHANNELS = {"sms": "SMS", "email": "E-mail"}


@widget(
    "health.deliveries",
    title="SMS and e-mail delivery",
    template="health/_widget_deliveries.html",
    refresh=60,
    order=420,
    size="medium",
    tab=Tab.BUSINESS,
)
def deliveries(context: WidgetContext) -> dict[str, object]:
    series_names = [series_name(c, outcome) for c in CHANNELS for outcome in DELIVERY_OUTCOMES]
    slots = values.sum_values_per_slot(
        SeriesKind.DELIVERY, series_names, context.since, context.now
    )
    has_any = any(any(slot.values()) for slot in slots.values())

    def counts_in(slot: dict[str, float], channel: str) -> DeliveryCounts:
        return DeliveryCounts(**{o: slot[series_name(channel, o)] for o in DELIVERY_OUTCOMES})

    rows = []
    for channel, label in CHANNELS.items():
        total = {name: sum(slot[name] for slot in slots.values()) for name in series_names}
        counts = counts_in(total, channel)
        is_high = (counts.failure_percent or 0) > MAX_FAILURE_PERCENT
        rows.append({"label": label, "counts": counts, "is_high": is_high})
    return {
        "rows": rows,
        "chart": Chart(
            title="Failed and bounced messages",
            times=list(slots),
            series=[
                Series(
                    label,
                    [
                        counts_in(slot, channel).undelivered if has_any else None
                        for slot in slots.values()
                    ],
                    kind="line",
                )
                for channel, label in CHANNELS.items()
            ],
            unit="messages",
            empty="No messages were reported in this time range.",
        ),
    }
