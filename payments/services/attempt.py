"""One exchange with Stripe about a payment whose lease we hold."""

from datetime import datetime, timedelta

from django.db.models import F

from payments import stripe_api
from payments.intents import OURS, Intent
from payments.models import Payment
from payments.services.alerts import alarm
from payments.services.apply import note

KEY_ALARM = "stripe-key"


def ask(payment: Payment, *, now: datetime) -> Intent:
    """The intent for this payment, made or found. Raises stripe_api's troubles."""
    try:
        return _send(payment)
    except stripe_api.NoAnswer as trouble:
        if not trouble.is_replayed:
            raise
        # Stripe keeps answering this key with the error it stored; the intent may exist all the same.
        found = look_up(payment)
        if found is not None:
            return found
        Payment.objects.filter(pk=payment.pk, owner=payment.owner).update(attempt=F("attempt") + 1)
        note(payment, "attempt raised", "Stripe stored an error, and has no intent", now=now)
        raise


def look_up(payment: Payment) -> Intent | None:
    """The intent Stripe has for this payment, if any, by id or by our metadata."""
    if payment.intent_id:
        return stripe_api.retrieve_intent(payment.intent_id)
    # Clocks differ: from a little before we asked.
    return stripe_api.find_intent(payment.uuid, since=payment.created_at - timedelta(minutes=5))


def let_go(payment: Payment, trouble: stripe_api.StripeTrouble, *, now: datetime) -> None:
    """Free the lease, so that a repeat or the sweeper may try at once."""
    Payment.objects.unfinished().filter(pk=payment.pk, owner=payment.owner).update(
        locked_until=now, error=str(trouble)[:300]
    )
    note(payment, "no answer", f"try {payment.tries}: {trouble}", now=now)
    if isinstance(trouble, stripe_api.KeyClash):
        alarm(
            f"key-clash.{payment.uuid}",
            "Stripe knows one of our idempotency keys with other parameters",
            f"Payment {payment.uuid}: a fault of the portal's. {trouble}",
            alert_type="payment-fault",
            payment=payment,
            now=now,
        )
    elif isinstance(trouble, stripe_api.KeyNotAccepted):
        alarm(
            KEY_ALARM,
            "Stripe does not accept our secret key",
            "No payment can be made. Check STRIPE_SECRET_KEY and its permissions.",
            alert_type="stripe-key-refused",
            now=now,
        )


def _send(payment: Payment) -> Intent:
    ours = {
        OURS: str(payment.uuid),
        "order_id": payment.order_id,
        "reservation_id": payment.reservation_id,
    }
    return stripe_api.create_intent(
        amount=payment.amount,
        currency=payment.currency,
        metadata={
            **payment.request_body.get("metadata", {}),
            **{k: v for k, v in ours.items() if v},
        },
        description=payment.request_body.get("description", ""),
        key=payment.stripe_key,
    )
