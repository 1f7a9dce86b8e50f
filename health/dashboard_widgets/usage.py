"""What is used up: the database, calls and bandwidth against their plan; messages to people."""

from datetime import datetime, timedelta

from alerts.models import AlertRule
from alerts.rules import registry as rules
from health.dashboard import WidgetContext, widget
from health.models import SeriesKind
from health.queries import resolutions, usage, values
from health.queries.database_size import database_size_bytes
from health.services.gauges import DATABASE_SIZE
from opsportal.lib.charts import Chart, Series, Threshold

Levels = dict[datetime, float | None]
# Rules warn at 80 % of a plan, so a rule's threshold says what the plan is.
WARNING_SHARE = 0.8


WEEK = timedelta(days=7)


def thresholds() -> dict[str, float]:
    """What staff set for the rules about plans, or the code's defaults."""
    names = ("usage.database_size", "usage.function_calls", "usage.bandwidth")
    found = {name: rules.get(name).threshold for name in names}
    found.update(AlertRule.objects.filter(name__in=names).values_list("name", "threshold"))
    return found


@widget(
    "health.database",
    title="Database",
    template="health/_widget_database.html",
    refresh=60,
    order=400,
    size="medium",
)
def database(context: WidgetContext) -> dict[str, object]:
    size = database_size_bytes()
    warning = context.load_once(thresholds)["usage.database_size"] * 1e9
    week = values.level_per_slot(DATABASE_SIZE, context.now - WEEK, context.now)
    slots = _shown(week, context)
    growth = _growth_per_day(week)
    days_left = (warning - size) / growth if growth and growth > 0 and size < warning else None
    return {
        "size": size,
        "warning": warning,
        "plan": warning / WARNING_SHARE,
        "growth": growth,
        "days_left": round(days_left) if days_left is not None and days_left < 3_650 else None,
        "chart": Chart(
            title="Size of the database",
            times=list(slots),
            series=[Series("Size", list(slots.values()))],
            unit="bytes",
            thresholds=[Threshold(warning, "warning", "warning")] if size > warning / 3 else [],
            empty="The size is measured every minute; the first point comes soon.",
        ),
    }


def _shown(week: Levels, context: WidgetContext) -> Levels:
    """The page's range, out of the week where that has the same slots."""
    resolution = resolutions.value_resolution_for(context.range)
    if context.range > WEEK or resolution != resolutions.value_resolution_for(WEEK):
        return values.level_per_slot(DATABASE_SIZE, context.since, context.now)
    first = resolution.floor(context.since)
    return {at: size for at, size in week.items() if at >= first}


def _growth_per_day(week: Levels) -> float | None:
    """Over the last week, or as long as there are figures; None in the first hour."""
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
)
def api_usage(context: WidgetContext) -> dict[str, object]:
    limits = context.load_once(thresholds)
    month = context.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    calls = usage.function_call_count(context.now - timedelta(days=1), context.now)
    sent = usage.bandwidth_bytes(month, context.now)
    return {
        "plans": [
            {
                "label": "Function calls, last 24 h",
                "value": calls,
                "unit": "calls",
                "plan": limits["usage.function_calls"] / WARNING_SHARE,
            },
            {
                "label": f"Bandwidth since 1 {context.now:%b}",
                "value": sent,
                "unit": "bytes",
                "plan": limits["usage.bandwidth"] * 1e9 / WARNING_SHARE,
            },
        ],
        "apps": usage.call_count_by_app(context.since, context.now)[:5],
    }


OUTCOMES = ("sent", "delivered", "failed", "bounced")


@widget(
    "health.deliveries",
    title="Messages to people",
    template="health/_widget_deliveries.html",
    refresh=60,
    order=420,
    size="medium",
)
def deliveries(context: WidgetContext) -> dict[str, object]:
    channels = {"sms": "SMS", "email": "E-mail"}
    names = [f"{channel}.{outcome}" for channel in channels for outcome in OUTCOMES]
    slots = values.sum_values_per_slot(SeriesKind.DELIVERY, names, context.since, context.now)
    rows = []
    for channel, label in channels.items():
        counts = {o: sum(slot[f"{channel}.{o}"] for slot in slots.values()) for o in OUTCOMES}
        bad = counts["failed"] + counts["bounced"]
        total = max(counts["sent"], counts["delivered"] + bad)
        rows.append({"label": label, **counts, "bad_percent": 100 * bad / total if total else None})
    has_any = any(any(slot.values()) for slot in slots.values())
    return {
        "rows": rows,
        "chart": Chart(
            title="Messages that failed or bounced",
            times=list(slots),
            series=[
                Series(
                    label,
                    [
                        slot[f"{channel}.failed"] + slot[f"{channel}.bounced"] if has_any else None
                        for slot in slots.values()
                    ],
                    kind="bars" if len(channels) == 1 else "line",
                )
                for channel, label in channels.items()
            ],
            unit="messages",
            empty="No messages were reported in this time.",
        ),
    }
