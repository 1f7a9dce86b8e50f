"""Create payments with intents at the Stripe double, process the events of its account, and refund payments."""

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from alerts.models import SystemAlert
from payments import services
from payments.intents import PAYMENT_METADATA_KEY
from payments.models import Mismatch, Payment, Refund
from payments.services.webhooks.receive import record_event
from reservations.models import Discrepancy
from tests.factories import make_payment
from tests.payments.stripe_account import StripeAccount

NOW = datetime.now(UTC).replace(microsecond=0)


def make_intent(account: StripeAccount, reservation_id: str = "", **fields: Any) -> Payment:
    """Create a payment that its buyer has not confirmed, and its intent at the Stripe double."""
    payment = make_payment(reservation_id, status="requires_payment_method", **fields)
    intent = account.create(payment.amount, metadata={PAYMENT_METADATA_KEY: str(payment.uuid)})
    Payment.objects.filter(pk=payment.pk).update(intent_id=intent["id"])
    payment.refresh_from_db()
    return payment


def process(*events: dict[str, Any], now: datetime = NOW) -> None:
    for event in events:
        received = record_event(event, endpoint="default", livemode=False, now=now)
        services.process_event(event_pk=received.event.pk, now=now)


def refund(payment: Payment, amount: int, form: str, **decision: Any) -> Refund:
    staff, _ = User.objects.get_or_create(username="ann")
    return services.refund(
        payment=payment,
        new_refund=services.NewRefund(amount=amount, reason="asked for", **decision),
        form=uuid.uuid5(uuid.NAMESPACE_URL, form),
        user=staff,
        now=NOW,
    )


def refunded(payment: Payment) -> int:
    payment.refresh_from_db()
    return payment.amount_refunded


def open_cases() -> list[str]:
    """Return the kinds of all open cases. Check that there are as many active alerts as open cases."""
    cases = [*Mismatch.objects.open().values_list("kind", flat=True)]
    cases += Discrepancy.objects.open().values_list("kind", flat=True)
    assert SystemAlert.objects.active().count() == len(cases)
    return cases
