from django.utils import timezone

from core.lib.schedules import daily, every
from payments import services, stripe_api
from payments.services.disputes import watch_deadlines
from payments.services.refund import sweep_refunds


def process(*, event_pk: int, **newer_arguments: object) -> None:
    """Process one webhook event, unless another worker has claimed it."""
    services.process_event(event_pk=event_pk, now=timezone.now())


@every(minutes=1, title="Process Stripe events")
def process_waiting_events() -> dict[str, int]:
    """Process pending Stripe events that are due."""
    return {"processed": services.process_waiting(now=timezone.now())}


@every(minutes=1, title="Finish interrupted payments")
def finish_payments() -> dict[str, int] | str:
    """Finish payments and refunds that an error or a crash interrupted."""
    if not stripe_api.is_configured():
        return "not configured"
    now = timezone.now()
    return {**services.sweep(now=now), "refunds": sweep_refunds(now=now)}


@every(minutes=30, title="Watch disputes")
def watch_disputes() -> dict[str, int]:
    """Update the alerts about disputes as their deadlines approach."""
    return {"waiting": watch_deadlines(now=timezone.now())}


@every(minutes=15, title="Compare payments with Stripe")
def reconcile() -> dict[str, int] | str:
    """Find recent payments that differ from Stripe's records, and correct them."""
    return _reconcile(is_full=False)


@every(minutes=1, title="Continue comparisons")
def continue_reconciliation() -> dict[str, int] | str:
    """Continue interrupted comparisons with Stripe."""
    if not stripe_api.is_configured():
        return "not configured"
    return {"finished": services.continue_reconciliation(now=timezone.now())}


@daily(hour=3, minute=10, title="Compare 30 days with Stripe")
def reconcile_in_full() -> dict[str, int] | str:
    """Compare the payments of the last 30 days with Stripe's records, and correct differences."""
    return _reconcile(is_full=True)


@daily(hour=2, minute=20, title="Delete idempotency keys")
def reap_keys() -> dict[str, int]:
    """Delete expired idempotency keys."""
    return {"keys": services.reap_keys(now=timezone.now())}


@daily(hour=2, minute=40, title="Delete old Stripe events")
def prune_events() -> dict[str, int]:
    """Delete Stripe events whose retention period is over."""
    return services.prune_events(now=timezone.now())


def _reconcile(*, is_full: bool) -> dict[str, int] | str:
    if not stripe_api.is_configured():
        return "not configured"
    run = services.reconcile(now=timezone.now(), is_full=is_full)
    return {
        "events": run.event_count,
        "inserted": run.inserted_count,
        "intents": run.intent_count,
        "healed": run.healed_count,
        "mismatches": run.mismatch_count,
    }
