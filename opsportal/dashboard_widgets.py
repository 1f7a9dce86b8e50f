"""Panels about the platform itself: what it calls, and whom it refuses."""

from django.db.models import Sum

from health.dashboard import WidgetContext, widget
from opsportal.lib import outbound, ratelimit
from opsportal.limits.models import BlockedCall, Tier


@widget(
    "opsportal.dependencies",
    title="Services the portal calls",
    template="opsportal/_widget_dependencies.html",
    refresh=60,
    order=610,
    size="medium",
)
def dependencies(context: WidgetContext) -> dict[str, object]:
    order = {"open": 0, "half-open": 1, "closed": 2}
    states = sorted(outbound.breaker_states(), key=lambda one: (order[one.state], one.name))
    return {
        "breakers": states[:12],
        "left_over": len(states[12:]),
        "is_any_open": any(one.state != "closed" for one in states),
    }


@widget(
    "opsportal.blocked_calls",
    title="Calls refused by rate limits",
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
        "degraded": ratelimit.is_degraded(),
    }
