"""Forget events that were dealt with long ago. What waits, or needs a person, is never forgotten."""

from datetime import datetime, timedelta

from django.conf import settings

from opsportal.lib.durability import quick_commit
from payments.models import RefusedDelivery, WebhookEvent

CHUNK = 1_000
MOST_CHUNKS = 500  # a night; a table that was never pruned takes a few


def prune_events(*, now: datetime) -> dict[str, int]:
    """How many events and counts of refused calls were removed, in short transactions.

    By Stripe's clock too: an event that Stripe still has would be fetched, and processed, again.
    """
    since = now - timedelta(days=settings.WEBHOOK_EVENT_DAYS)
    old = WebhookEvent.objects.settled().filter(received_at__lt=since, created_at__lt=since)
    events = 0
    for _ in range(MOST_CHUNKS):
        chunk = list(old.order_by("received_at", "pk").values_list("pk", flat=True)[:CHUNK])
        if not chunk:
            break
        with quick_commit():
            # Asked again: staff may have sent one back to be processed in between.
            events += old.filter(pk__in=chunk).delete()[0]
    refused, _ = RefusedDelivery.objects.filter(hour__lt=since).delete()
    return {"events": events, "refused": refused}
