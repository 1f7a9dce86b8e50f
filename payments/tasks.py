from django.utils import timezone

from core.lib.schedules import daily, every
from payments import services, stripe_api
from payments.services.disputes import watch_deadlines
from payments.services.refund import sweep_refunds


def process(*, event_pk: int, **newer_arguments: object) -> None:
    """Process one webhook event, unless another worker has it."""
    services.process_event(event_pk=event_pk, now=timezone.now())


@every(minutes=1)
def process_waiting_events() -> dict[str, int]:
    """Process pending Stripe events"""
    return {"processed": services.process_waiting(now=timezone.now())}


@every(minutes=1)
def finish_payments() -> dict[str, int] | str:
    """Finish interrupted payments and refunds"""
    if not stripe_api.is_configured():
        return "not configured"
    now = timezone.now()
    return {**services.sweep(now=now), "refunds": sweep_refunds(now=now)}


@every(minutes=30)
def watch_disputes() -> dict[str, int]:
    """Alert before the deadlines of disputes"""
    return {"waiting": watch_deadlines(now=timezone.now())}


@every(minutes=15)
def reconcile() -> dict[str, int] | str:
    """Compare payments with Stripe"""
    return _reconcile(is_full=False)


@every(minutes=1)
def continue_reconciliation() -> dict[str, int] | str:
    """Continue interrupted comparisons with Stripe"""
    if not stripe_api.is_configured():
        return "not configured"
    return {"finished": services.continue_reconciliation(now=timezone.now())}


@daily(hour=3, minute=10)
def reconcile_in_full() -> dict[str, int] | str:
    """Compare 30 days of payments with Stripe"""
    return _reconcile(is_full=True)


@daily(hour=2, minute=20)
def reap_keys() -> dict[str, int]:
    """Delete expired idempotency keys"""
    return {"keys": services.reap_keys(now=timezone.now())}


@daily(hour=2, minute=40)
def prune_events() -> dict[str, int]:
    """Delete old Stripe events"""
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
