"""Compare the portal's refunds and disputes with Stripe's."""

from collections.abc import Iterable
from datetime import datetime

from payments import stripe_api
from payments.models import Dispute, Payment, ReconciliationRun, Refund
from payments.reversals import StripeDispute, StripeRefund
from payments.services.disputes import store_dispute
from payments.services.reconciliation.pages import LATE_AFTER, read_page
from payments.services.refund import STATES, store_refunds


def compare_refunds(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = read_page(run, "refunds")
    _store_refunds(run, [StripeRefund.from_stripe(data) for data in items], now)
    return bookmark


def compare_disputes(run: ReconciliationRun, now: datetime) -> str:
    items, bookmark = read_page(run, "disputes")
    _store_disputes(run, [StripeDispute.from_stripe(data) for data in items], now)
    return bookmark


def compare_open_reversals(run: ReconciliationRun, now: datetime) -> str:
    """Retrieve pending refunds and open disputes by id, because they may be older than the period of a full run.

    Do nothing in other runs.
    """
    if not run.is_full:
        return ""
    pending = Refund.objects.filter(state=Refund.State.PENDING).exclude(stripe_id=None)
    for stripe_id in list(pending.order_by("pk").values_list("stripe_id", flat=True)):
        _store_refunds(run, [stripe_api.retrieve_refund(str(stripe_id))], now)
    open_ = Dispute.objects.open().order_by("pk").values_list("stripe_id", flat=True)
    for stripe_id in list(open_):
        _store_disputes(run, [stripe_api.retrieve_dispute(stripe_id)], now)
    return ""


def _store_refunds(run: ReconciliationRun, refunds: list[StripeRefund], now: datetime) -> None:
    ids = [refund.id for refund in refunds]
    known = dict(Refund.objects.filter(stripe_id__in=ids).values_list("stripe_id", "state"))
    payments = _payments_by_intent(refund.intent_id for refund in refunds)
    for refund in refunds:
        payment_id = payments.get(refund.intent_id)
        if payment_id is not None and known.get(refund.id) != STATES.get(refund.status):
            changed = store_refunds(payment_id=payment_id, refunds=[refund], now=now)
            run.healed_count += changed
            run.late_count += changed and refund.created_at < now - LATE_AFTER


def _store_disputes(run: ReconciliationRun, disputes: list[StripeDispute], now: datetime) -> None:
    ids = [dispute.id for dispute in disputes]
    known = dict(Dispute.objects.filter(stripe_id__in=ids).values_list("stripe_id", "status"))
    payments = _payments_by_intent(dispute.intent_id for dispute in disputes)
    for dispute in disputes:
        payment_id = payments.get(dispute.intent_id)
        if payment_id is not None and known.get(dispute.id) != dispute.status:
            store_dispute(payment_id=payment_id, reported=dispute, reported_at=now, now=now)
            run.healed_count += 1
            run.late_count += dispute.created_at < now - LATE_AFTER


def _payments_by_intent(intent_ids: Iterable[str]) -> dict[str | None, int]:
    found = Payment.objects.filter(intent_id__in=set(intent_ids))
    return dict(found.values_list("intent_id", "pk"))
