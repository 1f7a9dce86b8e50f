"""Show the status and the uptime of checks, monitors and heartbeats."""

from core.lib.app_access import limit
from health.extension_points import Tab, WidgetContext, widget
from health.models import Component, ComponentKind
from health.queries import uptime
from health.queries.components import worst_first
from health.verdict import Status

MAX_LINES = 8


def load_enabled() -> list[Component]:
    return worst_first(limit(Component.objects.filter(is_enabled=True)))


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
    components = [
        one for one in context.load_once(load_enabled) if one.status != Status.NOT_CONFIGURED
    ]
    return {
        "lines": uptime.load_lines(components[:MAX_LINES], now=context.now),
        "total": len(components),
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
    checks = [one for one in context.load_once(load_enabled) if one.kind == ComponentKind.CHECK]
    return {
        "components": [one for one in checks if one.status != Status.NOT_CONFIGURED],
        "unused": [one for one in checks if one.status == Status.NOT_CONFIGURED],
    }
