"""Delete events that were processed or ignored long ago.

Pending and dead events are never deleted.
"""

from datetime import datetime, timedelta

from django.conf import settings

from core.lib.durability import relaxed_durability
from payments.models import RefusedDelivery, WebhookEvent

CHUNK_SIZE = 1_000
# Limits the work of one night. A table that was never pruned may take several nights.
MAX_CHUNKS = 500


def prune_events(*, now: datetime) -> dict[str, int]:
    """Delete old events and counts of rejected calls in short transactions. Return the numbers of deleted rows.

    An event is deleted only if it is also old by Stripe's clock. Otherwise, reconciliation would fetch the event from
    Stripe and process it again.
    """
    since = now - timedelta(days=settings.WEBHOOK_EVENT_DAYS)
    old = WebhookEvent.objects.settled().filter(received_at__lt=since, created_at__lt=since)
    events = 0
    for _ in range(MAX_CHUNKS):
        chunk = list(old.order_by("received_at", "pk").values_list("pk", flat=True)[:CHUNK_SIZE])
        if not chunk:
            break
        with relaxed_durability():
            # Apply the condition again, because staff may have queued one of the events again.
            events += old.filter(pk__in=chunk).delete()[0]
    refused, _ = RefusedDelivery.objects.filter(hour__lt=since).delete()
    return {"events": events, "refused": refused}
