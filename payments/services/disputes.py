"""Store disputes, update the disputed amounts of payments, and alert staff while the shop can respond."""

from datetime import datetime, timedelta

from django.db import transaction

from alerts.extension_points import Severity
from core.lib.formats import stamp
from payments.models import Dispute, Payment
from payments.reversals import StripeDispute
from payments.services.alerts import clear_alert, raise_alert
from payments.services.apply import add_timeline_entry
from payments.signals import dispute_closed

URGENT_BEFORE = timedelta(days=2)
Status = Dispute.Status


@transaction.atomic
def store_dispute(
    *, payment_id: int, reported: StripeDispute, reported_at: datetime, now: datetime
) -> str:
    """Store Stripe's report about a dispute and describe the outcome.

    Reports may arrive in any order. The newest report wins and, if the times are equal, the later status. A status that
    the portal does not know is stored as `needs_response`. If the dispute has been closed, the function sends
    `dispute_closed` within this transaction.
    """
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    known = payment.disputes.filter(stripe_id=reported.id).first()
    status = Status(reported.status) if reported.status in Status.values else Status.NEEDS_RESPONSE
    if known is not None:
        newest = (known.reported_at, Status(known.status).rank)
        if (reported_at, status.rank) <= newest:
            return f"{status.label}: already known or outdated"
    dispute = known or Dispute(payment=payment, stripe_id=reported.id)
    was = dispute.status
    dispute.status, dispute.reported_at = status, reported_at
    dispute.amount, dispute.currency = reported.amount, reported.currency
    dispute.reason = reported.reason.replace("_", " ")[:100]
    dispute.opened_at, dispute.evidence_due_at = reported.created_at, reported.evidence_due_at
    if status in Dispute.WITHDRAWN:
        # A report that precedes the transaction shows at least since when a known inquiry has been a dispute.
        became_dispute_at = reported_at if was in Dispute.INQUIRY else reported.created_at
        dispute.withdrawn_at = reported.withdrawn_at or dispute.withdrawn_at or became_dispute_at
    dispute.closed_at = None if dispute.is_open else dispute.closed_at or now
    dispute.save()
    payment.amount_disputed = payment.disputes.with_funds_withdrawn().total()
    payment.save(update_fields=["amount_disputed"])
    if status != was:
        detail = f"{dispute.formatted_amount}, {dispute.reason or 'no reason given'}"
        add_timeline_entry(payment, f"dispute: {status.label.lower()}", detail, now=now)
        if not dispute.is_open:
            dispute_closed.send(Dispute, payment=payment, dispute=dispute, now=now)
    update_dispute_alert(dispute, now=now)
    return f"dispute: {status.label.lower()}"


def update_dispute_alert(dispute: Dispute, *, now: datetime) -> None:
    """Keep an alert open while the shop can respond to the dispute, and resolve it afterwards.

    The alert becomes critical two days before the deadline. The function runs in the caller's transaction.
    """
    key = f"dispute.{dispute.stripe_id}"
    if not dispute.needs_response(now):
        clear_alert(key, text=_outcome(dispute), now=now)
        return
    due_at = dispute.evidence_due_at
    deadline = f" by {stamp(due_at)}" if due_at else ""
    reason = dispute.reason or "no reason given"
    is_urgent = due_at is not None and due_at - now <= URGENT_BEFORE
    raise_alert(
        key,
        f"Disputed: {dispute.formatted_amount}",
        f"The buyer disputes payment {dispute.payment.uuid} with their bank: {reason}. Send evidence{deadline} in "
        "Stripe's dashboard, or accept the dispute there. Without a response, the dispute is lost.",
        alert_type="payment-dispute",
        severity=Severity.CRITICAL if is_urgent else Severity.HIGH,
        payment=dispute.payment,
        now=now,
    )


def _outcome(dispute: Dispute) -> str:
    if dispute.status in Dispute.AWAITING_EVIDENCE:
        return "The deadline for evidence has passed."
    return f"Dispute: {dispute.get_status_display().lower()}, {dispute.formatted_amount}"


def watch_deadlines(*, now: datetime) -> int:
    """Update the alerts of the disputes that await evidence.

    Return the number of disputes to which the shop can still respond.
    """
    waiting = 0
    for dispute in Dispute.objects.awaiting_evidence().select_related("payment").order_by("pk"):
        with transaction.atomic():
            update_dispute_alert(dispute, now=now)
        waiting += dispute.needs_response(now)
    return waiting
