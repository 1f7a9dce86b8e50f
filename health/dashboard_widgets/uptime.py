"""Checks, monitors and heartbeats: how they are, and how they have been."""

from health.dashboard import WidgetContext, widget
from health.models import Component
from health.queries import uptime
from health.verdict import Status


@widget(
    "health.uptime",
    title="Uptime",
    template="health/_widget_uptime.html",
    refresh=60,
    order=300,
    size="wide",
)
def uptime_bars(context: WidgetContext) -> dict[str, object]:
    components = list(Component.objects.in_use().worst_first())
    return {
        "lines": uptime.lines(components[:8], now=context.now),
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
)
def all_checks(context: WidgetContext) -> dict[str, object]:
    every = list(Component.objects.checks().filter(is_enabled=True).worst_first())
    return {
        "components": [one for one in every if one.status != Status.NOT_CONFIGURED],
        "unused": [one for one in every if one.status == Status.NOT_CONFIGURED],
    }
