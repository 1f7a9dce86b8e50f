from datetime import datetime

from payments import stripe_api
from payments.models import Payment, PaymentStatus
from payments.services.apply import apply_intent


def cancel(*, payment: Payment, now: datetime) -> Payment:
    """Cancel the payment's intent at Stripe and return the payment. Change nothing if it is already cancelled.

    Raises stripe_api.InvalidRequest if the payment has no intent or can no longer be cancelled, and another
    stripe_api.StripeFailure if the call to Stripe fails.
    """
    if not payment.intent_id:
        raise stripe_api.InvalidRequest("the payment has no intent yet")
    if payment.status != PaymentStatus.CANCELED:
        cancelled = stripe_api.cancel_intent(payment.intent_id, key=f"ops_cancel_{payment.uuid}")
        apply_intent(
            payment_id=payment.pk, intent=cancelled, reported_at=now, is_authoritative=True, now=now
        )
        payment.refresh_from_db()
    return payment
