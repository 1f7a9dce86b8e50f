from django.urls import reverse
from django.utils import timezone

from core.lib.app_access import limit
from health.extension_points import Tab, WidgetContext, widget
from health.queries.components import load_failing
from payments import stripe_api
from payments.models import Dispute
from payments.queries import stats


@widget(
    "payments.at_a_glance",
    title="Payments",
    template="payments/_widget_at_a_glance.html",
    refresh=60,
    order=210,
    size="medium",
    tab=Tab.BUSINESS,
    respects_apps=True,
)
def at_a_glance(context: WidgetContext) -> dict[str, object]:
    attempts = stats.count_attempts(context.since)
    webhooks = stats.count_webhooks(since=context.since)
    stuck = stats.count_stuck(context.now)
    mismatches = stats.count_open_mismatches()
    disputes = limit(Dispute.objects.awaiting_evidence()).count()
    return {
        "is_configured": stripe_api.is_configured(),
        "outage": context.load_once(load_failing).get("stripe"),
        "attempts": attempts.count,
        "succeeded": attempts.by_status.get("succeeded", 0),
        "books": attempts.books,
        "comparison": stats.find_last_comparison(context.now),
        "prevented": attempts.prevented.count,
        "prevented_amounts": sorted(attempts.prevented.amounts.items()),
        "stuck": stuck.count,
        "at_risk": sorted(stuck.amounts.items()),
        "webhooks": webhooks,
        "waiting_seconds": (timezone.now() - webhooks.oldest_waiting_at).total_seconds()
        if webhooks.oldest_waiting_at
        else None,
        "mismatches": mismatches,
        "needs_attention": stuck.count + mismatches + webhooks.dead + disputes,
        "url": reverse("payments:overview"),
    }
