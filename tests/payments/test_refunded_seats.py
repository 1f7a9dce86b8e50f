"""Test that a refund releases or keeps the seats of its payment."""

import pytest

from payments.models import Mismatch, Payment, Refund
from reservations.models import Discrepancy, Reservation, Status
from reservations.queries.drift import find_drift
from reservations.services import reserve
from tests.factories import make_app, make_ticket_type, wanted
from tests.payments.stripe_account import StripeAccount
from tests.payments.support import NOW, make_intent, open_cases, process, refund

pytestmark = pytest.mark.django_db


@pytest.fixture
def seated(account: StripeAccount) -> Payment:
    """Create a payment of 100.00 EUR for two standing tickets and two seats of 25.00 EUR each."""
    types = make_ticket_type(), make_ticket_type()
    order = wanted((types[0], 2), (types[1], 2))
    reservation = reserve(app=make_app(), wanted=order, now=NOW).reservation
    payment = make_intent(account, str(reservation.uuid), amount=10_000)
    process(account.pay(payment.intent_id or ""))
    payment.refresh_from_db()
    return payment


def sold() -> list[int]:
    reservation = Reservation.objects.get()
    lines = reservation.lines.select_related("ticket_type").order_by("pk")
    return [line.ticket_type.sold for line in lines]


def test_a_partial_refund_releases_the_chosen_tickets(seated: Payment) -> None:
    first, _ = Reservation.objects.get().lines.order_by("pk")
    release = {"seats": Refund.Seats.RELEASE, "released_items": {str(first.pk): 1}}

    refund(seated, 2500, "form 1", **release)

    assert (sold(), Reservation.objects.get().status) == ([1, 2], Status.COMPLETED)
    assert (find_drift(), open_cases()) == ([], [])


def test_a_refund_that_releases_all_tickets_ends_the_reservation_without_a_case(
    seated: Payment,
) -> None:
    refund(seated, 10_000, "form 1", seats=Refund.Seats.RELEASE)

    assert (sold(), Reservation.objects.get().status) == ([0, 0], Status.REFUNDED)
    assert (find_drift(), open_cases()) == ([], [])


def test_seats_kept_by_decision_need_no_case(seated: Payment) -> None:
    refund(seated, 10_000, "form 1", seats=Refund.Seats.KEEP)

    assert (sold(), Reservation.objects.get().status) == ([2, 2], Status.COMPLETED)
    assert open_cases() == []


def test_a_ticket_is_released_once(seated: Payment) -> None:
    first, _ = Reservation.objects.get().lines.order_by("pk")
    release = {"seats": Refund.Seats.RELEASE, "released_items": {str(first.pk): 5}}

    refund(seated, 2500, "form 1", **release)
    refund(seated, 2500, "form 2", **release)

    assert (sold(), find_drift()) == ([0, 2], [])


def test_seats_released_by_a_refund_that_fails_leave_one_case(
    account: StripeAccount, seated: Payment
) -> None:
    made = refund(seated, 10_000, "form 1", seats=Refund.Seats.RELEASE)

    process(*account.fail_refund(made.stripe_id or ""))
    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]
    assert Reservation.objects.get().status == Status.REFUND_NEEDED

    refund(seated, 10_000, "form 2")
    assert (open_cases(), Reservation.objects.get().status) == ([], Status.REFUNDED)


def test_a_refund_made_at_stripe_that_fails_closes_the_question_about_the_seats(
    account: StripeAccount, seated: Payment
) -> None:
    created, charged = account.refund(seated.intent_id or "")
    process(created, charged)
    assert open_cases() == [Discrepancy.Kind.SEAT_WITHOUT_MONEY]

    process(*account.fail_refund(created["data"]["object"]["id"]))

    assert open_cases() == [Mismatch.Kind.REFUND_FAILED]
    assert sold() == [2, 2]
