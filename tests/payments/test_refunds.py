import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from payments import services
from payments.models import Payment, Refund
from payments.services.refund import sweep_refunds
from tests.factories import make_payment
from tests.payments.stripe_double import Fault, StripeDouble

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(stripe: StripeDouble) -> Payment:
    intent = stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    stripe.pay(intent["id"])
    return make_payment(intent_id=intent["id"])


def refund(payment: Payment, amount: int, form: str) -> Refund:
    staff, _ = User.objects.get_or_create(username="ann")
    return services.refund(
        payment=payment,
        amount=amount,
        reason="asked for",
        form=uuid.uuid5(uuid.NAMESPACE_URL, form),
        user=staff,
        now=NOW,
    )


def test_a_form_sent_twice_refunds_once(stripe: StripeDouble, paid: Payment) -> None:
    first, again = refund(paid, 1000, "form 1"), refund(paid, 1000, "form 1")

    paid.refresh_from_db()
    assert (first.pk, first.state) == (again.pk, "succeeded")
    assert stripe.calls["POST /v1/refunds"] == 1
    assert paid.amount_refunded == 1000


def test_a_refund_cannot_exceed_what_was_paid(stripe: StripeDouble, paid: Payment) -> None:
    refund(paid, 2000, "form 1")

    with pytest.raises(services.CannotRefund):
        refund(paid, 501, "form 2")
    refund(paid, 500, "form 3")
    paid.refresh_from_db()
    assert paid.refundable == 0


def test_a_third_decimal_is_rejected_before_stripe_is_called(
    stripe: StripeDouble, paid: Payment
) -> None:
    Payment.objects.update(currency="KWD")

    with pytest.raises(services.CannotRefund, match="KWD"):
        refund(paid, 1005, "form 1")
    assert not Refund.objects.exists()
    assert stripe.calls["POST /v1/refunds"] == 0


def test_a_refund_without_a_response_is_requested_again_with_the_same_key(
    stripe: StripeDouble, paid: Payment
) -> None:
    stripe.faults.append(Fault("drop_after", path="/v1/refunds", times=2))
    assert refund(paid, 1000, "form 1").state == "asked"

    with pytest.raises(services.CannotRefund):
        refund(paid, 2000, "form 2")
    assert sweep_refunds(now=NOW + timedelta(minutes=2)) == 1

    paid.refresh_from_db()
    assert (Refund.objects.get().state, paid.amount_refunded) == ("succeeded", 1000)
    assert len({key for key in stripe.keys if key.startswith("ops_refund_")}) == 1


def test_a_refund_that_stripe_rejects_has_failed(stripe: StripeDouble, paid: Payment) -> None:
    stripe.faults.append(Fault("status", 400, path="/v1/refunds"))

    assert refund(paid, 1000, "form 1").state == "failed"
    assert refund(paid, 2500, "form 2").state == "succeeded"


def test_an_unpaid_payment_cannot_be_refunded(stripe: StripeDouble) -> None:
    with pytest.raises(services.CannotRefund):
        refund(make_payment(status="processing"), 100, "form 1")
