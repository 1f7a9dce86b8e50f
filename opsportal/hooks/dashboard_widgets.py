"""Show the portal's dependencies and rate limits on the system-health page."""

from django.db.models import Sum

from core.lib import outbound, ratelimit
from core.lib.outbound.breaker import BreakerState, State
from core.limits.models import BlockedCall, Tier
from health.extension_points import OWN_NETWORK, Tab, WidgetContext, health_checks, widget
from health.queries.components import load_failing

MAX_ROWS = 12
_URGENCY = {State.OPEN: 0, State.HALF_OPEN: 1, State.CLOSED: 2}


@widget(
    "opsportal.dependencies",
    title="Dependencies",
    template="opsportal/_widget_dependencies.html",
    refresh=60,
    order=610,
    size="medium",
    tab=Tab.PLATFORM,
    respects_apps=True,
)
def dependencies(context: WidgetContext) -> dict[str, object]:
    failing = context.load_once(load_failing)
    states = {one.name: one for one in outbound.breaker_states()}
    for name in failing:
        # Show a failing outside service even if this process has not called it yet and so has no breaker for it.
        if name in health_checks and OWN_NETWORK in health_checks.get(name).depends_on:
            states.setdefault(name, BreakerState(name, State.CLOSED, 0, None, None))
    rows = [(one, failing.get(one.name)) for one in states.values()]
    rows.sort(key=lambda row: (row[1] is None and _URGENCY[row[0].state], row[0].name))
    return {
        "rows": [{"breaker": one, "component": component} for one, component in rows[:MAX_ROWS]],
        "hidden_count": len(rows[MAX_ROWS:]),
        "has_problem": any(component or one.state is not State.CLOSED for one, component in rows),
    }


@widget(
    "opsportal.blocked_calls",
    title="Rate-limited requests",
    template="opsportal/_widget_blocked_calls.html",
    refresh=60,
    order=620,
    size="medium",
    tab=Tab.PLATFORM,
)
def blocked_calls(context: WidgetContext) -> dict[str, object]:
    recent = BlockedCall.objects.since(context.since)
    by_subject = (
        recent.values("tier", "subject")
        .annotate(total=Sum("count"))
        .order_by("-total", "tier", "subject")[:5]
    )
    labels = dict(Tier.choices)
    return {
        "total": recent.aggregate(total=Sum("count"))["total"] or 0,
        "top": [{**row, "tier": labels.get(row["tier"], row["tier"])} for row in by_subject],
        "is_degraded": ratelimit.is_degraded(),
    }
