"""Test that a payment with an unexpected amount gets no seats and opens a case that staff or a refund can close."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alerts.models import SystemAlert
from payments.models import Mismatch, Payment, Refund
from payments.services.apply import count_refunds
from reservations import services
from reservations.models import Discrepancy, Reservation, Status, TicketType
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.test_process import news, take_in

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(minutes=16)
pytestmark = pytest.mark.django_db


@pytest.fixture
def seats() -> TicketType:
    return make_ticket_type(2, price=4500)


@pytest.fixture
def reservation(seats: TicketType) -> Reservation:
    """Reserve two tickets for 45.00 EUR each."""
    return services.reserve(app=make_app(), wanted=wanted((seats, 2)), now=NOW).reservation


@pytest.fixture
def payment(reservation: Reservation) -> Payment:
    return make_payment(str(reservation.uuid), status="requires_payment_method", now=NOW)


def refund(payment: Payment) -> None:
    """Record a full refund of the payment, as if Stripe had reported it."""
    Refund.objects.create(
        payment=payment,
        amount=payment.amount_received,
        state=Refund.State.SUCCEEDED,
        asked_at=NOW,
        settled_at=NOW,
    )
    count_refunds(payment, now=NOW)


def succeed(payment: Payment, now: datetime = NOW, **fields: Any) -> None:
    take_in(news(payment, "succeeded", **fields), now=now)
    payment.refresh_from_db()


OTHER_AMOUNTS = [
    ({"amount": 50}, "0.50 EUR"),  # The intent was changed at Stripe.
    ({"currency": "usd"}, "90.00 USD"),
    ({"amount_received": 4000}, "40.00 EUR"),  # Only a part of the amount was captured.
    ({"amount": 9100}, "91.00 EUR"),
]


@pytest.mark.parametrize(("fields", "received"), OTHER_AMOUNTS)
def test_a_different_amount_opens_one_case_and_gets_no_seats(
    reservation: Reservation,
    payment: Payment,
    seats: TicketType,
    fields: dict[str, Any],
    received: str,
) -> None:
    succeed(payment, **fields)

    reservation.refresh_from_db()
    seats.refresh_from_db()
    assert (reservation.status, seats.sold) == (Status.ACTIVE, 0)
    [case] = Discrepancy.objects.open()
    assert case.kind == "amount_differs"
    assert received in case.detail
    assert "90.00 EUR" in case.detail
    [alert] = SystemAlert.objects.active()
    assert alert.severity == "critical"
    assert received in alert.message
    assert not Mismatch.objects.exists()


def test_received_money_is_counted_in_the_received_currency(payment: Payment) -> None:
    succeed(payment, currency="usd")

    assert (payment.amount_received, payment.currency) == (9000, "USD")


@pytest.mark.parametrize(("fields", "received"), OTHER_AMOUNTS)
def test_a_different_amount_without_a_reservation_is_a_mismatch(
    fields: dict[str, Any], received: str
) -> None:
    payment = make_payment(amount=9000, status="requires_payment_method")

    succeed(payment, **fields)

    [mismatch] = Mismatch.objects.open()
    assert mismatch.kind == "amount"
    assert received in mismatch.detail


def test_a_partial_capture_at_stripe_gets_no_seats(
    account: StripeAccount, reservation: Reservation
) -> None:
    intent = account.create(9000)
    payment = make_payment(
        str(reservation.uuid), intent_id=intent["id"], status="requires_payment_method"
    )

    take_in(account.pay(intent["id"], amount=4000), now=NOW)

    payment.refresh_from_db()
    assert (payment.status, payment.amount_received) == ("succeeded", 4000)
    assert [case.kind for case in Discrepancy.objects.open()] == ["amount_differs"]


def test_a_payment_older_than_the_price_check_gets_no_seats(
    reservation: Reservation,
) -> None:
    payment = make_payment(str(reservation.uuid), amount=50, status="requires_payment_method")

    succeed(payment)

    assert [case.kind for case in Discrepancy.objects.open()] == ["amount_differs"]


def test_a_full_refund_closes_the_case(payment: Payment) -> None:
    succeed(payment, amount_received=4000)

    refund(payment)

    assert not Discrepancy.objects.open().exists()
    assert not SystemAlert.objects.active().exists()


def test_staff_can_accept_the_amount_and_thereby_book_the_seats(
    reservation: Reservation, payment: Payment, seats: TicketType, admin_client: Client
) -> None:
    succeed(payment, amount_received=4000)
    case = Discrepancy.objects.get()

    page = admin_client.get(reverse("reservations:inbox"))
    answer = admin_client.post(
        reverse("reservations:settle", args=[case.pk]),
        {"amount": "accepted", "settlement": "a friend"},
    )

    assert "Accept the amount and book the seats" in page.content.decode()
    assert answer.status_code == 302
    reservation.refresh_from_db()
    seats.refresh_from_db()
    case.refresh_from_db()
    assert (reservation.status, reservation.payment, seats.sold) == ("completed", payment, 2)
    assert case.settlement == "amount accepted: a friend"
    assert not SystemAlert.objects.active().exists()


def test_accepting_an_amount_for_lost_seats_opens_a_case_about_the_missing_seats(
    reservation: Reservation, payment: Payment, seats: TicketType, admin_user: User
) -> None:
    succeed(payment, amount_received=4000)
    services.reserve(app=make_app(), wanted=wanted((seats, 1)), now=LATER)

    accepted = services.accept_amount(
        discrepancy=Discrepancy.objects.get(), note="", user=admin_user, now=LATER
    )

    assert accepted
    assert [case.kind for case in Discrepancy.objects.open()] == ["sold_out"]


def test_the_app_cannot_complete_with_a_payment_of_another_amount(
    reservation: Reservation, payment: Payment
) -> None:
    succeed(payment, amount_received=4000)

    with pytest.raises(services.CannotChange) as refusal:
        services.complete(reservation=reservation, payment=payment, now=NOW)
    assert refusal.value.reason == "amount-differs"


def test_the_app_cannot_complete_with_a_refunded_payment(
    reservation: Reservation, payment: Payment
) -> None:
    payment.status, payment.amount_received, payment.amount_refunded = "succeeded", 9000, 9000
    payment.save()

    with pytest.raises(services.CannotChange) as refusal:
        services.complete(reservation=reservation, payment=payment, now=NOW)
    assert refusal.value.reason == "payment-not-succeeded"


# --- partial payments ---------------------------------------------------------------------------------


def part(reservation: Reservation, amount: int = 4500, purpose: str = "part") -> Payment:
    return make_payment(
        str(reservation.uuid),
        amount=amount,
        purpose=purpose,
        status="requires_payment_method",
        now=NOW,
    )


def test_a_part_extends_the_hold_and_the_last_one_completes_it(reservation: Reservation) -> None:
    soon = NOW + timedelta(minutes=10)

    succeed(part(reservation), soon)
    reservation.refresh_from_db()
    assert (reservation.status, reservation.expires_at) == (
        Status.ACTIVE,
        soon + timedelta(minutes=15),
    )
    succeed(part(reservation), soon)

    reservation.refresh_from_db()
    assert reservation.status == Status.COMPLETED
    assert not Discrepancy.objects.exists()


def test_a_part_extends_the_hold_once_even_if_the_app_reports_it_repeatedly(
    reservation: Reservation,
) -> None:
    first = part(reservation)
    succeed(first)

    for minutes in (5, 10):
        now = NOW + timedelta(minutes=minutes)
        with pytest.raises(services.CannotChange) as refusal:
            services.complete(reservation=reservation, payment=first, now=now)
        assert refusal.value.reason == "payment-missing"

    reservation.refresh_from_db()
    assert reservation.expires_at == NOW + timedelta(minutes=15)
    assert first.timeline.filter(what="partial payment").count() == 1


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_part_whose_remainder_never_arrives_becomes_one_case(
    reservation: Reservation, end: str
) -> None:
    succeed(part(reservation))

    if end == "cancelled":
        services.cancel(reservation=reservation, now=NOW)
    else:
        services.release_expired(now=LATER)
    for _ in range(2):
        services.review_partial_payments(now=LATER)

    [case] = Discrepancy.objects.open()
    assert (case.kind, case.detail) == ("partly_paid", f"the reservation is {end}")
    [alert] = SystemAlert.objects.active()
    assert alert.severity == "critical"


def test_a_part_for_an_expired_hold_becomes_a_case_and_the_remainder_resolves_it(
    reservation: Reservation,
) -> None:
    services.release_expired(now=LATER)

    succeed(part(reservation), LATER)
    assert [case.kind for case in Discrepancy.objects.open()] == ["partly_paid"]
    succeed(part(reservation), LATER)

    reservation.refresh_from_db()
    assert reservation.status == Status.COMPLETED
    assert not Discrepancy.objects.open().exists()


@pytest.mark.parametrize(
    ("sold_to_others", "left_open"), [(0, []), (1, ["partly_paid", "sold_out"])]
)
def test_accepting_one_part_resolves_the_cases_of_the_other_parts_only_if_it_books_the_seats(
    reservation: Reservation,
    seats: TicketType,
    admin_user: User,
    sold_to_others: int,
    left_open: list[str],
) -> None:
    services.release_expired(now=LATER)
    succeed(part(reservation, 3000), LATER)
    succeed(part(reservation, 3000), LATER)
    if sold_to_others:
        services.reserve(app=make_app(), wanted=wanted((seats, sold_to_others)), now=LATER)
    first, _ = Discrepancy.objects.order_by("pk")

    services.accept_amount(discrepancy=first, note="", user=admin_user, now=LATER)

    assert sorted(case.kind for case in Discrepancy.objects.open()) == left_open


def test_a_refunded_part_of_a_completed_reservation_is_a_case(reservation: Reservation) -> None:
    first = part(reservation)
    succeed(first)
    succeed(part(reservation))

    refund(first)

    assert [case.kind for case in Discrepancy.objects.open()] == ["seat_without_money"]


def test_a_separate_fee_does_not_affect_the_reservation(reservation: Reservation) -> None:
    succeed(part(reservation, 300, "fee"))

    reservation.refresh_from_db()
    assert reservation.status == Status.ACTIVE
    assert not Discrepancy.objects.exists()


def accept(case: Discrepancy) -> bool:
    user, _ = User.objects.get_or_create(username="ann")
    return services.accept_amount(discrepancy=case, note="", user=user, now=NOW)


def test_an_amount_can_be_accepted_only_once(
    reservation: Reservation, payment: Payment, seats: TicketType
) -> None:
    succeed(payment, amount=50)
    case = Discrepancy.objects.get()
    also_open = Discrepancy.objects.get()  # A second user has the page of the case open.

    assert accept(case) is True
    assert accept(also_open) is False

    seats.refresh_from_db()
    assert seats.sold == 2
    assert Discrepancy.objects.get().settlement == "amount accepted"


def test_a_payment_for_an_unknown_reservation_cannot_be_accepted() -> None:
    payment = make_payment(str(uuid.uuid4()), status="requires_payment_method", now=NOW)
    succeed(payment)
    case = Discrepancy.objects.get()

    assert accept(case) is False
    assert Discrepancy.objects.open().get() == case


def test_a_refunded_payment_cannot_be_accepted(payment: Payment) -> None:
    succeed(payment, amount=50)
    case = Discrepancy.objects.get()
    refund(payment)

    assert accept(case) is False
    assert not Discrepancy.objects.open().exists()
