"""Checks, monitors and heartbeats: how they are, and how they have been."""

from health.dashboard import WidgetContext, widget
from health.models import Component, ComponentKind
from health.queries import uptime
from health.verdict import Status


def enabled() -> list[Component]:
    return list(Component.objects.filter(is_enabled=True).worst_first())


@widget(
    "health.uptime",
    title="Uptime",
    template="health/_widget_uptime.html",
    refresh=60,
    order=300,
    size="wide",
)
def uptime_bars(context: WidgetContext) -> dict[str, object]:
    components = [one for one in context.load_once(enabled) if one.status != Status.NOT_CONFIGURED]
    return {
        "lines": uptime.load_lines(components[:8], now=context.now),
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
    every = [one for one in context.load_once(enabled) if one.kind == ComponentKind.CHECK]
    return {
        "components": [one for one in every if one.status != Status.NOT_CONFIGURED],
        "unused": [one for one in every if one.status == Status.NOT_CONFIGURED],
    }
