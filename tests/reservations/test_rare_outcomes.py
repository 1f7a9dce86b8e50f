"""Test outcomes that require a failing database, a concurrent change, or an unknown reservation."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, OperationalError

from payments.models import Refund
from reservations import services
from reservations.models import Line, Reservation, Status, TicketType
from reservations.services import hold, paid, waiting
from tests.factories import make_app, make_payment, make_ticket_type, wanted

# An `import` statement would import the function of the same name from the package.
reserving = import_module("reservations.services.reserve")
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
pytestmark = pytest.mark.django_db


def reserve(type_: TicketType, quantity: int = 1, now: datetime = NOON) -> Reservation:
    return services.reserve(app=make_app(), wanted=wanted((type_, quantity)), now=now).reservation


def raising(error: Exception) -> Any:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("text", "expected"),
    [("database is locked", services.Busy), ("disk I/O error", OperationalError)],
)
def test_only_a_lock_that_is_held_too_long_is_reported_as_busy(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: type[Exception]
) -> None:
    error = OperationalError(text)
    monkeypatch.setattr(reserving, "_group", SimpleNamespace(run=raising(error)))
    monkeypatch.setattr(reserving, "_reserve_on_postgresql", raising(error))

    with pytest.raises(expected):
        reserve(make_ticket_type())


def test_a_failing_database_fails_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    type_ = make_ticket_type()
    order = wanted((type_, 1))
    draft = Reservation(uuid=uuid4(), app=make_app(), created_at=NOON)
    monkeypatch.setattr(reserving.reserve_sqlite, "reserve", lambda drafts: [None] * len(drafts))
    monkeypatch.setattr(reserving, "_reserve_step_by_step", raising(OperationalError("gone")))

    with pytest.raises(OperationalError):
        reserving._reserve_batch([(draft, order)])


def test_a_buyer_who_repeatedly_loses_released_tickets_to_others_is_asked_to_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    type_ = make_ticket_type()
    draft = Reservation(uuid=uuid4(), app=make_app(), idempotency_key="k", created_at=NOON)
    monkeypatch.setattr(reserving, "_hold", raising(services.SoldOut(type_, left=5, wanted=1)))

    with pytest.raises(services.Busy):
        reserving._reserve_step_by_step(draft, wanted((type_, 1), key="k"))


def test_a_constraint_violation_other_than_the_key_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    type_ = make_ticket_type()
    draft = Reservation(uuid=uuid4(), app=make_app(), idempotency_key="k", created_at=NOON)
    monkeypatch.setattr(type(Line.objects), "bulk_create", raising(IntegrityError("price")))

    with pytest.raises(IntegrityError):
        reserving._reserve_step_by_step(draft, wanted((type_, 1), key="k"))
    type_.refresh_from_db()
    assert type_.held == 0


def test_a_lost_database_does_not_open_a_case_for_a_payment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reservation = reserve(make_ticket_type())
    monkeypatch.setattr(paid, "_complete_paid", raising(OperationalError("gone")))

    with pytest.raises(OperationalError):
        services.complete_paid(payment=make_payment(str(reservation.uuid)), now=NOON)
    assert not reservation.discrepancies.exists()


def test_a_payment_can_replace_the_way_in_which_a_reservation_was_completed() -> None:
    reservation = services.complete(
        reservation=reserve(make_ticket_type()), payment=None, paid_elsewhere="cash", now=NOON
    )
    payment = make_payment(str(reservation.uuid))

    paid.book_seats(reservation, payment, LATER)

    reservation.refresh_from_db()
    assert (reservation.payment, reservation.status) == (payment, Status.COMPLETED)
    assert reservation.ended_at == NOON


def test_a_refund_of_a_payment_without_a_reservation_releases_nothing() -> None:
    refund = Refund(seats=Refund.Seats.RELEASE, released_items={})

    assert services.release_refunded(payment=make_payment(), refund=refund, now=NOON) == 0


@pytest.mark.parametrize("reference", ["order-7", "d82466c0-8daa-4b28-98e7-6c415def7c27"])
def test_a_processing_payment_of_an_unknown_reservation_holds_nothing(reference: str) -> None:
    payment = make_payment(reference, status="processing")

    services.follow_processing(payment=payment, now=NOON)

    assert not payment.timeline.exists()


def test_a_part_of_the_price_does_not_complete_a_reservation() -> None:
    reservation = reserve(make_ticket_type(), 2)
    part = make_payment(str(reservation.uuid), amount=2500, purpose="part")

    with pytest.raises(hold.CannotChange) as refused:
        services.complete(reservation=reservation, payment=part, paid_elsewhere="", now=NOON)

    assert refused.value.reason == "payment-missing"


def test_a_reservation_whose_seats_are_gone_cannot_be_completed() -> None:
    type_ = make_ticket_type(1)
    late = reserve(type_)
    reserve(type_, now=LATER)
    payment = make_payment(str(late.uuid))

    with pytest.raises(hold.CannotChange) as refused:
        services.complete(reservation=late, payment=payment, paid_elsewhere="", now=LATER)

    assert refused.value.reason == "sold-out"


def test_a_customer_who_leaves_at_the_last_moment_gets_no_offer() -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    reserve(type_)
    entry = services.join(
        app=make_app(), ticket_type=type_.pk, quantity=1, customer="c-1", order_id="", now=NOON
    ).entry
    TicketType.objects.update(capacity=2)
    services.leave(entry=entry, now=NOON)

    assert not waiting._offer(entry, type_, NOON)
    assert Reservation.objects.count() == 1


def test_a_type_without_a_capacity_keeps_its_waiting_customers() -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    reservation = reserve(type_)
    entry = services.join(
        app=make_app(), ticket_type=type_.pk, quantity=1, customer="c-1", order_id="", now=NOON
    ).entry
    services.cancel(reservation=reservation, now=NOON)
    TicketType.objects.update(capacity=0)

    assert services.offer_tickets(now=NOON) == 0

    entry.refresh_from_db()
    assert entry.state == "waiting"


def test_an_erased_customer_leaves_the_waiting_list() -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    reserve(type_)
    entry = services.join(
        app=make_app(), ticket_type=type_.pk, quantity=1, customer="c-1", order_id="", now=NOON
    ).entry

    waiting.remove_from_waiting_lists(entry_ids=[entry.pk], now=LATER)

    entry.refresh_from_db()
    type_.refresh_from_db()
    assert (entry.state, entry.customer, type_.has_waiting_buyers) == ("left", "", False)
