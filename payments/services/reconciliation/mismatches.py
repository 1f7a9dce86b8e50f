"""Check open mismatches again, and resolve those that were corrected."""

from datetime import datetime

from payments import stripe_api
from payments.intents import Intent
from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun
from payments.services.mismatches import resolve_mismatches
from payments.services.reconciliation.intents import is_given_back
from payments.services.reconciliation.pages import SINGLE_BATCH_SIZE

Kind = Mismatch.Kind


def recheck_mismatches(run: ReconciliationRun, now: datetime) -> str:
    """Resolve the open mismatches that were corrected.

    The bookmark is a mismatch's primary key.
    """
    open_ = (
        Mismatch.objects.open()
        # Only another refund resolves a mismatch of this kind; see count_refunds().
        .exclude(kind=Kind.REFUND_FAILED)
        .filter(pk__gt=int(run.bookmark or 0))
        .select_related("payment")
    )
    bookmark = ""
    for mismatch in open_.order_by("pk")[:SINGLE_BATCH_SIZE]:
        bookmark = str(mismatch.pk)
        try:
            settlement = _put_right(mismatch, stripe_api.retrieve_intent(mismatch.intent_id))
        except stripe_api.NotFound:
            continue
        if settlement:
            resolve_mismatches(
                Mismatch.objects.filter(pk=mismatch.pk), settlement=settlement, now=now
            )
    return bookmark


def _put_right(mismatch: Mismatch, intent: Intent) -> str:
    """Describe how the mismatch was corrected. Return "" if it still exists."""
    payment = mismatch.payment
    if mismatch.kind == Kind.NOT_AT_STRIPE:
        return "found at Stripe"
    if mismatch.kind == Kind.BEHIND and payment and payment.status == intent.status:
        return "the status is the same as at Stripe"
    is_same = payment and (payment.amount, payment.currency) == (intent.amount, intent.currency)
    is_undone = is_same and intent.status != PaymentStatus.SUCCEEDED
    if mismatch.kind == Kind.AMOUNT and is_undone:
        return "the amount is the same as at Stripe"
    if mismatch.kind == Kind.MISSING and Payment.objects.filter(intent_id=intent.id).exists():
        return "the portal has the payment now"
    if intent.status == PaymentStatus.CANCELED:
        return "canceled at Stripe"
    if mismatch.kind != Kind.BEHIND and is_given_back(intent):
        return "refunded"
    return ""
