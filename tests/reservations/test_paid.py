"""Test that each payment gets its seats or opens a case for staff."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from django.contrib.auth.models import User

from alerts.models import SystemAlert
from payments.models import Payment
from reservations import services
from reservations.models import Discrepancy, Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_payment, make_ticket_type, wanted

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=16)
Kind = Discrepancy.Kind
pytestmark = pytest.mark.django_db


def reserved(type_: TicketType, quantity: int = 1, now: datetime = NOON) -> Reservation:
    return services.reserve(app=make_app(), wanted=wanted((type_, quantity)), now=now).reservation


def paid(reservation: Reservation, now: datetime = LATER) -> Payment:
    payment = make_payment(str(reservation.uuid), now=now)
    services.complete_paid(payment=payment, now=now)
    reservation.refresh_from_db()
    return payment


def counters(type_: TicketType) -> tuple[int, int]:
    type_.refresh_from_db()
    return type_.held, type_.sold


def open_kinds() -> list[str]:
    return list(Discrepancy.objects.open().order_by("pk").values_list("kind", flat=True))


def test_a_payment_turns_held_tickets_into_sold_ones() -> None:
    standing = make_ticket_type()
    reservation = reserved(standing, 2)

    payment = paid(reservation, now=NOON)

    assert (reservation.status, reservation.payment) == (Status.COMPLETED, payment)
    assert counters(standing) == (0, 2)
    assert open_kinds() == []


def test_the_payments_timeline_ends_with_the_outcome_of_the_reservation() -> None:
    standing = make_ticket_type(1)
    first, second = reserved(standing), reserved(make_ticket_type(1))
    reserved(TicketType.objects.get(lines__reservation=second), now=LATER)

    stories = [list(paid(one).timeline.values_list("what", "detail")) for one in (first, second)]

    assert stories == [
        [("reservation completed", str(first.uuid))],
        [("reservation refund needed", str(second.uuid))],
    ]


def test_the_same_payment_again_changes_nothing() -> None:
    standing = make_ticket_type()
    reservation = reserved(standing, 2)
    payment = paid(reservation)

    services.complete_paid(payment=payment, now=LATER)

    assert counters(standing) == (0, 2)
    assert open_kinds() == []


def test_a_late_payment_keeps_seats_that_were_not_released() -> None:
    standing = make_ticket_type(1)
    reservation = reserved(standing)

    paid(reservation, now=LATER)

    assert (reservation.status, counters(standing)) == (Status.COMPLETED, (0, 1))


def test_a_late_payment_gets_seats_again_while_some_are_left() -> None:
    standing = make_ticket_type(3)
    reservation = reserved(standing, 2)
    services.release_expired(now=LATER)

    paid(reservation)

    assert (reservation.status, counters(standing)) == (Status.COMPLETED, (0, 2))
    assert open_kinds() == []


def test_a_late_payment_takes_precedence_over_another_expired_hold() -> None:
    standing = make_ticket_type(2)
    reservation = reserved(standing, 2)
    services.cancel(reservation=reservation, now=NOON)
    other = reserved(standing, 2)

    paid(reservation)

    other.refresh_from_db()
    assert (reservation.status, other.status) == (Status.COMPLETED, Status.EXPIRED)
    assert counters(standing) == (0, 2)


def test_a_payment_whose_seats_are_gone_needs_a_refund() -> None:
    standing = make_ticket_type(2)
    reservation = reserved(standing, 2)
    reserved(standing, 1, now=LATER)

    payment = paid(reservation)

    assert (reservation.status, reservation.payment) == (Status.REFUND_NEEDED, payment)
    assert counters(standing) == (1, 0)
    assert open_kinds() == [Kind.SOLD_OUT]


@pytest.mark.parametrize("order", list(permutations(["pay", "expire", "snatch"])))
def test_payment_expiry_and_next_buyer_in_any_order_lead_to_a_seat_or_a_refund(
    order: tuple[str, ...],
) -> None:
    """After the end of a hold, let the payment, the clean-up and the next buyer act in every order."""
    ends = NOON + timedelta(minutes=15)
    standing, got = make_ticket_type(1), []
    reservation = reserved(standing)

    for step in order:
        if step == "pay":
            paid(reservation, now=ends)
        elif step == "expire":
            services.release_expired(now=ends)
        else:
            with suppress(services.SoldOut):
                got.append(reserved(standing, now=ends))

    reservation.refresh_from_db()
    if order.index("pay") < order.index("snatch"):
        assert (reservation.status, got, open_kinds()) == (Status.COMPLETED, [], [])
    else:
        assert (reservation.status, len(got)) == (Status.REFUND_NEEDED, 1)
        assert open_kinds() == [Kind.SOLD_OUT]
        [alert] = SystemAlert.objects.active()
        assert (alert.severity, alert.alert_type) == ("critical", "money-without-seat")
    assert find_drift() == []


def test_an_order_of_two_types_gets_all_its_seats_again_or_none() -> None:
    standing, seated = make_ticket_type(5), make_ticket_type(1)
    app = make_app()
    made = services.reserve(app=app, wanted=wanted((standing, 2), (seated, 1)), now=NOON)
    services.release_expired(now=LATER)
    reserved(seated, 1, now=LATER)

    paid(made.reservation)

    assert made.reservation.status == Status.REFUND_NEEDED
    assert (counters(standing), counters(seated)) == ((0, 0), (1, 0))


def test_a_second_payment_for_a_reservation_is_a_discrepancy() -> None:
    standing = make_ticket_type()
    reservation = reserved(standing)
    first = paid(reservation)

    second = paid(reservation)

    assert reservation.payment == first
    assert counters(standing) == (0, 1)
    [noted] = Discrepancy.objects.open()
    assert (noted.kind, noted.payment) == (Kind.SECOND_PAYMENT, second)


def test_a_payment_for_a_reservation_paid_elsewhere_is_a_discrepancy() -> None:
    reservation = reserved(make_ticket_type())
    services.complete(reservation=reservation, paid_elsewhere="desk", now=NOON)

    paid(reservation)

    assert open_kinds() == [Kind.SECOND_PAYMENT]


@pytest.mark.parametrize("reference", ["b5a7c7c2-6b1c-4a51-9f07-8f0f3b9d2a11", "not-a-uuid"])
def test_a_payment_for_an_unknown_reservation_is_a_discrepancy(reference: str) -> None:
    services.complete_paid(payment=make_payment(reference), now=NOON)

    assert open_kinds() == [Kind.UNKNOWN]


def test_an_error_while_completing_is_a_discrepancy(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = make_ticket_type()
    reservation = reserved(standing)

    def broken(reservation: Reservation) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("reservations.services.paid.sell_held", broken)
    paid(reservation)

    [noted] = Discrepancy.objects.open()
    assert (noted.kind, noted.detail) == (Kind.FAILED, "ZeroDivisionError")
    assert (reservation.status, counters(standing)) == (Status.ACTIVE, (1, 0))


def test_a_refund_resolves_the_case_that_waited_for_it() -> None:
    standing = make_ticket_type(1)
    reservation = reserved(standing)
    reserved(standing, 1, now=LATER)
    payment = paid(reservation)

    services.handle_refund(payment=payment, now=LATER)

    reservation.refresh_from_db()
    assert reservation.status == Status.REFUNDED
    assert open_kinds() == []


def test_sold_seats_of_a_refunded_payment_are_a_discrepancy() -> None:
    standing = make_ticket_type()
    reservation = reserved(standing, 2)
    payment = paid(reservation)
    staff = User.objects.create_user("ann")

    services.handle_refund(payment=payment, now=LATER)
    assert open_kinds() == [Kind.SEAT_WITHOUT_MONEY]
    assert counters(standing) == (0, 2)

    [noted] = Discrepancy.objects.open()
    for _ in range(2):
        services.settle(
            discrepancy=noted, settlement="refunded", release_seats=True, user=staff, now=LATER
        )
    reservation.refresh_from_db()
    noted.refresh_from_db()
    assert (reservation.status, counters(standing)) == (Status.REFUNDED, (0, 0))
    assert (noted.settled_by, noted.settlement) == (staff, "refunded")
