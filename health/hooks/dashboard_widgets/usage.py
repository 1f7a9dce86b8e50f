"""Show the database size, calls and bandwidth with their limits, and delivered messages."""

from datetime import timedelta

from core.lib.charts import Chart, Series, Threshold
from health.extension_points import Tab, WidgetContext, widget
from health.models import SeriesKind
from health.queries import usage, values
from health.queries.database_size import database_size_bytes, forecast_size, load_course
from health.queries.deliveries import DeliveryCounts, series_name
from health.queries.usage import WARNING_SHARE, load_thresholds
from health.services.gauges import DATABASE_SIZE
from health.signals import DELIVERY_OUTCOMES

MAX_APPS = 5
MAX_FAILURE_PERCENT = 10


@widget(
    "health.database",
    title="Database",
    template="health/_widget_database.html",
    refresh=60,
    order=400,
    size="medium",
    tab=Tab.PLATFORM,
    respects_apps=True,
)
def database(context: WidgetContext) -> dict[str, object]:
    size = database_size_bytes()
    warning = context.load_once(load_thresholds)["usage.database_size"] * 1e9
    trend = forecast_size(load_course(now=context.now), limit=warning, now=context.now)
    slots = values.level_per_slot(DATABASE_SIZE, context.since, context.now)
    return {
        "size": size,
        "is_above_warning": size > warning,
        "warning": warning,
        "trend": trend,
        "chart": Chart(
            title="Database size",
            times=list(slots),
            series=[Series("Size", list(slots.values()))],
            unit="bytes",
            thresholds=[Threshold(warning, "warning", "warning")] if size > warning / 3 else [],
            empty="The size is measured every minute. The first value will appear soon.",
        ),
    }


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
    month = usage.month_of(context.now)
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
