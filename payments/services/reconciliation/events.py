"""Find events that Stripe sent but the portal never received, and process them."""

from datetime import datetime

from payments import stripe_api
from payments.models import ReconciliationRun, WebhookEvent
from payments.services.reconciliation.pages import LATE_AFTER, read_page
from payments.services.webhooks.process import process_event
from payments.services.webhooks.receive import RECONCILED_TYPES, NotAnEvent, record_event


def compare_events(run: ReconciliationRun, now: datetime) -> str:
    """Read one page of Stripe's events, store and process those that never arrived, and return a bookmark."""
    events, bookmark = read_page(run, "events", types=list(RECONCILED_TYPES))
    run.event_count += len(events)
    ids = [str(data.get("id")) for data in events]
    known = set(WebhookEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
    # Stripe lists the newest event first, but events are processed in the order of creation.
    for data in reversed(events):
        if data.get("id") in known:
            continue
        try:
            received = record_event(
                data, endpoint="reconciliation", livemode=stripe_api.is_livemode(), now=now
            )
        except NotAnEvent:
            continue
        if received.is_new:
            run.inserted_count += 1
            run.late_count += received.event.created_at < now - LATE_AFTER
            process_event(event_pk=received.event.pk, now=now)
    return bookmark


def fetch_missing_event(*, event_id: str, now: datetime) -> WebhookEvent:
    """Fetch one event from Stripe, store the event, and process it.

    Raises a stripe_api.StripeFailure if the call to Stripe fails, and NotAnEvent if Stripe returns anything other than
    an event.
    """
    received = record_event(
        stripe_api.retrieve_event(event_id),
        endpoint="staff",
        livemode=stripe_api.is_livemode(),
        now=now,
    )
    process_event(event_pk=received.event.pk, now=now)
    received.event.refresh_from_db()
    return received.event
