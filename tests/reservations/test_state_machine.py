"""Any sequence of reservations, payments, refunds, crashes and clean-ups keeps counters right and loses no payment."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from payments.models import Payment
from reservations import services
from reservations.models import Discrepancy, Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_payment, make_ticket_type, wanted

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Crash(Exception):
    """The process dies before its transaction commits."""


@contextmanager
def perhaps(crashes: bool) -> Iterator[None]:
    """Run the block in a transaction, and roll it back if the process is to crash before the commit."""
    try:
        with transaction.atomic():
            yield
            if crashes:
                raise Crash
    except Crash:
        pass


class Shop(RuleBasedStateMachine):
    reservations = Bundle("reservations")
    payments = Bundle("payments")

    @initialize(capacities=st.tuples(st.integers(0, 6), st.integers(1, 6)))
    def open(self, capacities: tuple[int, int]) -> None:
        self.everything = transaction.atomic()
        self.everything.__enter__()
        self.now = NOON
        self.app = make_app()
        self.types = [make_ticket_type(capacity, price=0) for capacity in capacities]
        self.paid: list[Payment] = []

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.everything.__exit__(None, None, None)

    @rule(
        target=reservations,
        quantities=st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any),
        crashes=st.booleans(),
    )
    def reserve(self, quantities: tuple[int, int], crashes: bool) -> object:
        items = [(type_, n) for type_, n in zip(self.types, quantities, strict=True) if n]
        left = TicketType.objects.all().available(self.now)
        try:
            with transaction.atomic():
                made = services.reserve(app=self.app, wanted=wanted(*items), now=self.now)
                if crashes:
                    raise Crash
        except Crash:
            return multiple()
        except services.SoldOut:
            assert any(left[type_.pk] < n for type_, n in items)
            return multiple()
        assert all(left[type_.pk] >= n for type_, n in items)
        return made.reservation

    @rule(reservation=reservations, crashes=st.booleans())
    def extend(self, reservation: Reservation, crashes: bool) -> None:
        before = Reservation.objects.get(pk=reservation.pk)
        try:
            with perhaps(crashes):
                services.extend(reservation=reservation, now=self.now)
        except services.CannotChange:
            assert reservation.expires_at == before.expires_at

    @rule(reservation=reservations, crashes=st.booleans())
    def cancel(self, reservation: Reservation, crashes: bool) -> None:
        try:
            with perhaps(crashes):
                services.cancel(reservation=reservation, now=self.now)
        except services.CannotChange:
            assert reservation.status not in (Status.ACTIVE, Status.CANCELLED)

    @rule(reservation=reservations, crashes=st.booleans())
    def complete_free(self, reservation: Reservation, crashes: bool) -> None:
        try:
            with perhaps(crashes):
                services.complete(reservation=reservation, now=self.now)
        except services.CannotChange:
            assert reservation.status != Status.ACTIVE

    @rule(target=payments, reservation=reservations, crashes=st.booleans())
    def pay(self, reservation: Reservation, crashes: bool) -> object:
        with perhaps(crashes):
            payment = make_payment(str(reservation.uuid), app=self.app, now=self.now)
            services.complete_paid(payment=payment, now=self.now)
        if crashes:
            return (
                multiple()
            )  # the payment is rolled back with its seats; Stripe will send the event again
        self.paid.append(payment)
        return payment

    @rule(payment=payments)
    def receive_the_event_again(self, payment: Payment) -> None:
        services.complete_paid(payment=payment, now=self.now)

    @rule(payment=payments)
    def refund_and_crash(self, payment: Payment) -> None:
        with perhaps(True):
            services.handle_refund(payment=payment, now=self.now)

    @rule(payment=consumes(payments))
    def refund(self, payment: Payment) -> None:
        services.handle_refund(payment=payment, now=self.now)
        self.paid.remove(payment)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(crashes=st.booleans())
    def clean_up(self, crashes: bool) -> None:
        with perhaps(crashes):
            services.release_expired(now=self.now)
            assert not Reservation.objects.overdue(self.now).exists()

    @invariant()
    def the_counters_match_and_nothing_is_oversold(self) -> None:
        if not hasattr(self, "types"):
            return
        assert find_drift() == []
        for type_ in self.types:
            type_.refresh_from_db()
            assert type_.held + type_.sold <= type_.capacity

    @invariant()
    def every_payment_has_a_seat_or_an_open_case(self) -> None:
        for payment in getattr(self, "paid", []):
            seated = Reservation.objects.filter(payment=payment, status=Status.COMPLETED).exists()
            noted = Discrepancy.objects.open().filter(payment=payment).exists()
            assert seated != noted


@pytest.mark.slow
@pytest.mark.django_db
def test_no_sequence_of_steps_loses_a_seat_or_money() -> None:
    run_state_machine_as_test(
        Shop,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
