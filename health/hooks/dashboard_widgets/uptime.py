"""Show the status and the uptime of checks, monitors and heartbeats."""

from core.lib.app_access import limit
from health.extension_points import Tab, WidgetContext, widget
from health.models import Component
from health.queries import uptime
from health.queries.components import (
    count_in_use,
    list_worst_first,
    load_in_order,
    sort_worst_first,
)
from health.verdict import Status

MAX_LINES = 8


@widget(
    "health.uptime",
    title="Uptime",
    template="health/_widget_uptime.html",
    refresh=60,
    order=300,
    size="wide",
    tab=Tab.RELIABILITY,
    respects_apps=True,
)
def uptime_bars(context: WidgetContext) -> dict[str, object]:
    in_use = limit(Component.objects.in_use())
    ids = list_worst_first(in_use, at_least=MAX_LINES)
    return {
        "lines": uptime.load_lines(load_in_order(ids[:MAX_LINES]), now=context.now),
        "total": context.load_once(count_in_use).count,
        "goal": 100 * uptime.GOAL,
    }


@widget(
    "health.checks",
    title="Checks",
    template="health/_widget_checks.html",
    refresh=60,
    order=310,
    size="medium",
    tab=Tab.RELIABILITY,
    respects_apps=True,
)
def all_checks(context: WidgetContext) -> dict[str, object]:
    enabled = limit(Component.objects.checks()).filter(is_enabled=True)
    checks = sort_worst_first(enabled)
    return {
        "components": [one for one in checks if one.status != Status.NOT_CONFIGURED],
        "unused": [one for one in checks if one.status == Status.NOT_CONFIGURED],
    }
