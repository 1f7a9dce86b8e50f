"""Test that a payment can be created only for a payable reservation and only for its price."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.clients.models import ApiKey, ClientApp, Scope
from payments.models import Payment
from reservations import services
from reservations.models import Reservation
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


@pytest.fixture
def shop(app: ClientApp, stripe: StripeDouble) -> Client:
    _, secret = ApiKey.issue(app=app, scopes=[Scope.PAYMENTS])
    return Client(headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def reservation(app: ClientApp) -> Reservation:
    """Reserve two tickets for 45.00 EUR each."""
    return reserved(app)


def reserved(app: ClientApp, quantity: int = 2, price: int = 4500) -> Reservation:
    type_ = make_ticket_type(price=price)
    return services.reserve(
        app=app, wanted=wanted((type_, quantity)), now=timezone.now()
    ).reservation


def pay(shop: Client, reservation: Reservation | str, amount: int = 9000, **fields: Any) -> Any:
    reference = reservation if isinstance(reservation, str) else str(reservation.uuid)
    key = fields.pop("key", "")
    body = {"amount": amount, "currency": "EUR", "reservation_id": reference, **fields}
    headers = {"Idempotency-Key": key} if key else {}
    return shop.post("/api/v1/payments/", body, content_type="application/json", headers=headers)


def succeed(answer: Any, reservation: Reservation) -> Payment:
    """Let the payment of the response succeed, as the event from Stripe would, and return the payment."""
    payment = Payment.objects.get(uuid=answer.json()["id"])
    payment.status, payment.amount_received = "succeeded", payment.amount
    payment.save()
    services.complete_paid(payment=payment, now=timezone.now())
    reservation.refresh_from_db()
    return payment


def test_the_price_of_the_reservation_can_be_paid(shop: Client, reservation: Reservation) -> None:
    answer = pay(shop, reservation)

    assert answer.status_code == 201
    payment = Payment.objects.get()
    assert (payment.purpose, payment.ticket_amount) == ("full", 9000)


@pytest.mark.parametrize(
    ("amount", "currency"), [(50, "EUR"), (4500, "EUR"), (9001, "EUR"), (9000, "USD")]
)
def test_another_amount_or_currency_is_refused_with_both_figures(
    shop: Client, reservation: Reservation, amount: int, currency: str
) -> None:
    answer = pay(shop, reservation, amount, currency=currency)

    assert (answer.status_code, answer.json()["type"]) == (422, "amount-differs")
    assert {
        "expected_amount": 9000,
        "expected_currency": "EUR",
        "amount": amount,
        "currency": currency,
    }.items() <= answer.json().items()
    assert "90.00 EUR" in answer.json()["detail"]
    assert f"{amount / 100:.2f} {currency}" in answer.json()["detail"]
    assert not Payment.objects.exists()


def test_an_unknown_reservation_gets_a_404(shop: Client) -> None:
    answer = pay(shop, str(uuid.uuid4()))

    assert (answer.status_code, answer.json()["type"]) == (404, "unknown-reservation")
    assert not Payment.objects.exists()


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired", "overdue"])
def test_a_closed_reservation_gets_a_409_with_its_status(
    shop: Client, reservation: Reservation, status: str
) -> None:
    if status == "completed":
        services.complete(reservation=reservation, paid_elsewhere="desk", now=timezone.now())
    elif status == "cancelled":
        services.cancel(reservation=reservation, now=timezone.now())
    else:
        Reservation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        if status == "expired":
            services.release_expired(now=timezone.now())

    answer = pay(shop, reservation)

    assert (answer.status_code, answer.json()["type"]) == (409, "reservation-closed")
    assert answer.json()["status_now"] == status.replace("overdue", "expired")
    assert not Payment.objects.exists()


def test_a_repeat_gets_its_response_even_after_the_reservation_was_paid(
    shop: Client, reservation: Reservation
) -> None:
    first = pay(shop, reservation, key="k-1")
    succeed(first, reservation)

    again = pay(shop, reservation, key="k-1")

    assert (again.status_code, again.content) == (201, first.content)


def test_another_app_can_take_the_payment(stripe: StripeDouble, shop: Client) -> None:
    assert pay(shop, reserved(make_app("box-office"))).status_code == 201


def test_a_second_payment_is_refused_while_a_bank_debit_is_processing(
    shop: Client, reservation: Reservation
) -> None:
    make_payment(str(reservation.uuid), amount=9000, status="processing")

    answer = pay(shop, reservation)

    assert (answer.status_code, answer.json()["type"]) == (409, "payment-processing")


# --- declared splits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "split"),
    [
        (9500, {"fee": 500}),
        (8000, {"discount": 1000}),
        (8500, {"fee": 500, "discount": 1000}),
        (4000, {"purpose": "part"}),
        (9000, {"purpose": "part"}),
        (2000, {"purpose": "deposit"}),
        (300, {"purpose": "fee"}),
    ],
)
def test_a_declared_split_is_accepted_and_kept_with_its_reason(
    shop: Client, reservation: Reservation, amount: int, split: dict[str, object]
) -> None:
    answer = pay(shop, reservation, amount, split={"reason": "gift voucher", **split})

    assert answer.status_code == 201, answer.json()
    payment = Payment.objects.get()
    assert payment.split_reason == "gift voucher"
    assert payment.purpose == split.get("purpose", "full")


@pytest.mark.parametrize(
    ("amount", "split", "kind"),
    [
        (9000, {"fee": 500}, "amount-differs"),
        (9100, {"purpose": "part"}, "amount-differs"),
        (9100, {"purpose": "deposit"}, "amount-differs"),
        (500, {"purpose": "part", "fee": 500}, "amount-differs"),
        (500, {"fee": 501}, "about:blank"),
        (9000, {"reason": ""}, "about:blank"),
        (9000, {"purpose": "gift"}, "about:blank"),
    ],
)
def test_a_split_that_does_not_add_up_is_refused(
    shop: Client, reservation: Reservation, amount: int, split: dict[str, object], kind: str
) -> None:
    answer = pay(shop, reservation, amount, split={"reason": "because", **split})

    assert (answer.status_code, answer.json()["type"]) == (422, kind)


def test_a_split_without_a_reservation_is_refused(shop: Client) -> None:
    body = {"amount": 500, "currency": "EUR", "split": {"reason": "because"}}

    assert shop.post("/api/v1/payments/", body, content_type="application/json").status_code == 422


def test_partial_payments_add_up_to_the_price_and_not_beyond(
    shop: Client, reservation: Reservation
) -> None:
    part = {"purpose": "part", "reason": "two cards"}

    succeed(pay(shop, reservation, 4500, split=part), reservation)
    assert reservation.status == "active"
    too_much = pay(shop, reservation, 4600, split=part)
    assert (too_much.status_code, too_much.json()["expected_amount"]) == (422, 4500)
    # The request has no idempotency key, so it creates a new payment.
    second = pay(shop, reservation, 4500, split=part)
    assert second.status_code == 201
    succeed(second, reservation)

    assert reservation.status == "completed"
    assert pay(shop, reservation, 4500, split=part).status_code == 409


def test_the_remainder_after_a_partial_payment_can_be_paid_in_full(
    shop: Client, reservation: Reservation
) -> None:
    succeed(pay(shop, reservation, 2000, split={"purpose": "part", "reason": "card"}), reservation)

    refused = pay(shop, reservation, 9000)
    succeed(pay(shop, reservation, 7000), reservation)

    assert refused.json()["expected_amount"] == 7000
    assert reservation.status == "completed"


def test_a_deposit_books_the_seats_and_the_balance_can_be_paid_afterwards(
    shop: Client, reservation: Reservation
) -> None:
    deposit = {"purpose": "deposit", "reason": "group booking"}
    balance = {"purpose": "part", "reason": "balance"}

    succeed(pay(shop, reservation, 2000, split=deposit), reservation)
    assert reservation.status == "completed"
    assert pay(shop, reservation, 7001, split=balance).status_code == 422
    assert pay(shop, reservation, 9000).status_code == 409
    succeed(pay(shop, reservation, 7000, split=balance), reservation)

    assert pay(shop, reservation, 100, split=balance).status_code == 409
    assert not reservation.discrepancies.exists()


# --- keys derived from the reservation ----------------------------------------------------------------


def test_without_a_key_a_double_click_gets_the_same_payment(
    shop: Client, reservation: Reservation
) -> None:
    first, second = pay(shop, reservation), pay(shop, reservation)

    assert first.json()["id"] == second.json()["id"]


def test_without_a_key_a_new_payment_follows_a_cancelled_one(
    shop: Client, reservation: Reservation
) -> None:
    first = pay(shop, reservation).json()
    shop.post(f"/api/v1/payments/{first['id']}/cancel/")

    second, again = pay(shop, reservation).json(), pay(shop, reservation).json()

    assert second["client_secret"] != first["client_secret"]
    assert again["id"] == second["id"]


@pytest.mark.parametrize("status", ["refused", "abandoned"])
def test_without_a_key_a_new_payment_follows_a_refused_or_abandoned_one(
    shop: Client, reservation: Reservation, status: str
) -> None:
    first = pay(shop, reservation)
    Payment.objects.update(status=status)

    assert pay(shop, reservation).json()["id"] != first.json()["id"]
