from django.urls import reverse
from django.utils import timezone

from health.dashboard import WidgetContext, widget
from payments import stats, stripe_api
from payments.models import Payment


@widget(
    "payments.at_a_glance",
    title="Payments",
    template="payments/_widget_at_a_glance.html",
    refresh=60,
    order=210,
    size="medium",
)
def at_a_glance(context: WidgetContext) -> dict[str, object]:
    prevented = stats.duplicates_prevented(context.since)
    webhooks = stats.webhook_stats(since=context.since)
    by_status = stats.counts_by_status(context.since)
    stuck = Payment.objects.stuck(context.now).count()
    mismatches = stats.open_mismatches()
    return {
        "is_configured": stripe_api.is_configured(),
        "attempts": sum(by_status.values()),
        "succeeded": by_status.get("succeeded", 0),
        "received": sorted(stats.received_amounts(context.since).items()),
        "prevented": prevented.count,
        "prevented_amounts": sorted(prevented.amounts.items()),
        "stuck": stuck,
        "at_risk": sorted(stats.amounts_at_risk(now=context.now).items()),
        "webhooks": webhooks,
        "waiting_seconds": (timezone.now() - webhooks.oldest_waiting_at).total_seconds()
        if webhooks.oldest_waiting_at
        else None,
        "mismatches": mismatches,
        "trouble": stuck + mismatches + webhooks.dead,
        "url": reverse("payments:overview"),
    }
