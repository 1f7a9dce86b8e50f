"""Test the page on which staff refund a payment."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import SystemAlert
from payments.extension_points import find_paid_items
from payments.models import Payment, Refund
from reservations.services import reserve
from tests.factories import (
    make_app,
    make_event,
    make_payment,
    make_ticket_type,
    wanted,
)
from tests.payments.staff_pages import page, paid
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble
from tests.payments.support import make_intent, process

pytestmark = pytest.mark.django_db


def test_a_refund_takes_two_steps_and_is_requested_once(
    staff: Client, stripe: StripeDouble
) -> None:
    payment = paid(stripe)
    address = reverse("payments:payment-refund", args=[payment.uuid])
    form = {"amount": "10.00", "reason": "did not come", "form": str(uuid.uuid4())}

    first = staff.post(address, form)
    assert "10.00 EUR" in first.content.decode()
    assert not Refund.objects.exists()
    for _ in range(2):
        assert staff.post(address, {**form, "step": "confirmed"}).status_code == 302

    payment.refresh_from_db()
    made = Refund.objects.get()
    assert (made.amount, made.state, payment.amount_refunded) == (1000, "succeeded", 1000)
    assert made.asked_by is not None
    assert stripe.calls["POST /v1/refunds"] == 1
    assert "refund of 10.00 EUR: did not come" in page(staff, "payments:payment-page", payment.uuid)


@pytest.fixture
def booked(account: StripeAccount) -> Payment:
    """Create a payment of 50.00 EUR that has booked two tickets of one type."""
    standing = make_ticket_type(name="Standing", event=make_event("night"))
    order = wanted((standing, 2))
    reservation = reserve(app=make_app(), wanted=order, now=timezone.now()).reservation
    payment = make_intent(
        account, str(reservation.uuid), amount=5000, order_id="o-7", customer="cus_8"
    )
    process(account.pay(payment.intent_id or ""))
    return payment


def test_the_pages_of_a_payment_name_the_order_the_customer_and_the_tickets(
    staff: Client, booked: Payment
) -> None:
    for name in ("payments:payment-page", "payments:payment-refund"):
        shown = page(staff, name, booked.uuid)
        for expected in ("o-7", "cus_8", "2 x Standing, Night"):
            assert expected in shown


def test_a_refund_asks_what_happens_to_the_tickets(staff: Client, booked: Payment) -> None:
    address = reverse("payments:payment-refund", args=[booked.uuid])
    [item] = find_paid_items(booked)
    form = {"amount": "25.00", "reason": "ill", "form": str(uuid.uuid4())}

    undecided = staff.post(address, form)
    assert (undecided.status_code, "Decide what happens" in undecided.content.decode()) == (
        400,
        True,
    )
    none = {**form, "seats": "release", f"release_{item.id}": "0"}
    assert "at least one ticket" in staff.post(address, none).content.decode()
    chosen = {**form, "seats": "release", f"release_{item.id}": "1"}
    assert "Released: 1 x Standing, Night." in staff.post(address, chosen).content.decode()
    for _ in range(2):
        assert staff.post(address, {**chosen, "step": "confirmed"}).status_code == 302

    assert [str(item) for item in find_paid_items(booked)] == ["1 x Standing, Night"]
    assert Refund.objects.get().amount == 2500


@pytest.mark.parametrize("seats", ["release", "keep"])
def test_a_decision_about_the_tickets_raises_no_alert(
    staff: Client, booked: Payment, account: StripeAccount, seats: str
) -> None:
    [item] = find_paid_items(booked)
    form = {"amount": "50.00", "reason": "ill", "form": str(uuid.uuid4()), "seats": seats}
    confirmed = {**form, f"release_{item.id}": "2", "step": "confirmed"}

    staff.post(reverse("payments:payment-refund", args=[booked.uuid]), confirmed)
    process(*account.events)

    assert not SystemAlert.objects.exists()
    assert len(find_paid_items(booked)) == (seats == "keep")
    shown = page(staff, "payments:payment-page", booked.uuid)
    assert "Refunded</span>" in shown
    assert ("All seats released" in shown, "2 seats" in shown) == (
        seats == "release",
        seats == "keep",
    )


@pytest.mark.parametrize("amount", ["25.01", "0", "-1", "1.005", "x", ""])
def test_an_invalid_amount_is_rejected_before_stripe_is_called(
    staff: Client, stripe: StripeDouble, amount: str
) -> None:
    payment = paid(stripe)
    form = {"amount": amount, "reason": "r", "form": str(uuid.uuid4()), "step": "confirmed"}

    answer = staff.post(reverse("payments:payment-refund", args=[payment.uuid]), form)

    assert answer.status_code == 400
    assert not Refund.objects.exists()


def test_amounts_of_a_currency_without_decimals_are_entered_as_whole_numbers(
    staff: Client, stripe: StripeDouble
) -> None:
    payment = make_payment(amount=3000, currency="JPY")
    address = reverse("payments:payment-refund", args=[payment.uuid])

    assert 'value="3000"' in staff.get(address).content.decode()
    form = {"amount": "10.5", "reason": "r", "form": str(uuid.uuid4())}
    assert staff.post(address, form).status_code == 400
