"""Dashboard widgets about the portal's dependencies and rate limits."""

from django.db.models import Sum

from core.lib import outbound, ratelimit
from core.lib.outbound.breaker import State
from core.limits.models import BlockedCall, Tier
from health.extension_points import WidgetContext, widget

MAX_ROWS = 12
_URGENCY = {State.OPEN: 0, State.HALF_OPEN: 1, State.CLOSED: 2}


@widget(
    "opsportal.dependencies",
    title="Dependencies",
    template="opsportal/_widget_dependencies.html",
    refresh=60,
    order=610,
    size="medium",
)
def dependencies(context: WidgetContext) -> dict[str, object]:
    states = sorted(outbound.breaker_states(), key=lambda one: (_URGENCY[one.state], one.name))
    return {
        "breakers": states[:MAX_ROWS],
        "hidden_count": len(states[MAX_ROWS:]),
        "has_problem": any(one.state is not State.CLOSED for one in states),
    }


@widget(
    "opsportal.blocked_calls",
    title="Rate-limited requests",
    template="opsportal/_widget_blocked_calls.html",
    refresh=60,
    order=620,
    size="medium",
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
