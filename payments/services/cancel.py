from datetime import datetime

from payments import stripe_api
from payments.models import Payment
from payments.services.apply import apply_intent


def cancel(*, payment: Payment, now: datetime) -> Payment:
    """The payment's intent cancelled at Stripe. Again: no change.

    Raises stripe_api's troubles; Rejected when Stripe finds it too late for that.
    """
    if not payment.intent_id:
        raise stripe_api.Rejected("there is no intent to cancel yet")
    if payment.status != "canceled":
        cancelled = stripe_api.cancel_intent(payment.intent_id, key=f"ops_cancel_{payment.uuid}")
        apply_intent(payment_id=payment.pk, intent=cancelled, told_at=now, is_certain=True, now=now)
        payment.refresh_from_db()
    return payment
