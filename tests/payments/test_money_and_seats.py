"""Test that the books are right after payments, refunds, disputes, waiting-list offers and events in any order."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from payments import services
from payments.models import Payment, Refund
from reservations import services as reservations
from reservations.models import Discrepancy, Reservation, Status, WaitingEntry
from tests.payments.small_shop import FIRST_STEPS, SmallShop
from tests.payments.stripe_objects import Refused

pytestmark = pytest.mark.django_db
numbers = st.integers(0, 11)
quantities = st.integers(1, 2)
Step = TypeVar("Step", bound=Callable[..., Any])
MAX_RESERVATIONS, MAX_PAYMENTS, MAX_WAITING = 5, 7, 3


def has_intent(*statuses: str) -> Callable[[Step], Step]:
    """Return a decorator that allows a step only if Stripe has an intent in one of `statuses`."""

    def check(shop: "Shop") -> bool:
        return any(one["status"] in statuses for one in shop.account.intents.values())

    return precondition(check)


class Shop(RuleBasedStateMachine, SmallShop):
    """The steps of a small shop's buyers, staff and bank. Events may arrive in any order, twice, or never."""

    @initialize(
        capacity=st.integers(1, 4),
        first_steps=st.lists(st.sampled_from(FIRST_STEPS), min_size=3, max_size=3),
        waiting=st.lists(quantities, max_size=2),
    )
    def open(self, capacity: int, first_steps: list[str], waiting: list[int]) -> None:
        self.open_shop(capacity, first_steps, waiting)

    def teardown(self) -> None:
        if hasattr(self, "resources"):
            self.close_shop()

    # --- buyers -------------------------------------------------------------------------------------------

    @precondition(lambda self: Reservation.objects.count() < MAX_RESERVATIONS)
    @rule(quantity=st.integers(1, 2))
    def a_buyer_reserves_and_asks_for_a_payment(self, quantity: int) -> None:
        self.reserve_and_ask_for_payment(quantity)

    @precondition(lambda self: Payment.objects.count() < MAX_PAYMENTS)
    @rule(number=numbers)
    def a_buyer_asks_for_a_second_payment(self, number: int) -> None:
        reservation = self.pick(Reservation.objects.filter(status=Status.ACTIVE), number)
        if reservation is not None:
            self.ask_for_payment(reservation, sum(line.amount for line in reservation.lines.all()))

    @precondition(lambda self: WaitingEntry.objects.count() < MAX_WAITING)
    @rule(quantity=st.integers(1, 2))
    def a_buyer_joins_the_waiting_list(self, quantity: int) -> None:
        self.join_waiting_list(quantity)

    @precondition(lambda self: WaitingEntry.objects.exists())
    @rule(number=numbers)
    def a_buyer_leaves_the_waiting_list(self, number: int) -> None:
        entry = self.pick(WaitingEntry.objects.select_related("reservation"), number)
        with contextlib.suppress(reservations.CannotChange):
            reservations.leave(entry=entry, now=self.now)

    @precondition(lambda self: WaitingEntry.objects.waiting().exists())
    @rule(is_paying=st.booleans())
    def returned_tickets_are_offered(self, is_paying: bool) -> None:
        for offered in self.offer_tickets():
            if is_paying:
                self.ask_for_payment(offered, sum(line.amount for line in offered.lines.all()))

    @has_intent("requires_payment_method")
    @rule(
        number=numbers,
        way=st.sampled_from(["card", "card", "card", "part", "debit", "later", "cancel"]),
    )
    def a_buyer_pays(self, number: int, way: str) -> None:
        intent = self.pick_intent(number, "requires_payment_method")
        if intent is None:
            return
        match way:
            case "card":
                self.account.pay(intent["id"])
            case "part":
                self.account.pay(intent["id"], amount=1000)
            case "debit":
                self.account.start_debit(intent["id"])
            case "later":
                self.account.authorize(intent["id"])
            case "cancel":
                self.account.cancel(intent["id"])

    @has_intent("processing")
    @rule(number=numbers, is_paid=st.booleans())
    def a_bank_debit_ends(self, number: int, is_paid: bool) -> None:
        intent = self.pick_intent(number, "processing")
        if intent is not None:
            (self.account.pay if is_paid else self.account.decline)(intent["id"])

    @has_intent("requires_capture")
    @rule(number=numbers, amount=st.sampled_from([None, 1000]))
    def authorized_money_is_captured(self, number: int, amount: int | None) -> None:
        intent = self.pick_intent(number, "requires_capture")
        if intent is not None:
            self.account.capture(intent["id"], amount)

    # --- refunds and disputes -----------------------------------------------------------------------------

    @has_intent("succeeded")
    @rule(number=numbers, amount=st.sampled_from([None, 1000]), status=st.booleans())
    def a_refund_is_made_at_stripe(self, number: int, amount: int | None, status: bool) -> None:
        intent = self.pick_intent(number, "succeeded")
        if intent is not None:
            self.account.next_refund_status = "succeeded" if status else "pending"
            with contextlib.suppress(Refused):
                self.account.refund(intent["id"], amount)

    @has_intent("succeeded")
    @rule(number=numbers, amount=st.sampled_from([None, 1000]), seats=st.sampled_from(Refund.Seats))
    def staff_refund(self, number: int, amount: int | None, seats: Refund.Seats) -> None:
        payment = self.pick(Payment.objects.succeeded(), number)
        if payment is not None and payment.refundable:
            self.refund(payment, min(amount or payment.refundable, payment.refundable), seats)

    @has_intent("succeeded")
    @rule(number=numbers)
    def staff_refund_one_ticket(self, number: int) -> None:
        line = self.pick(self.lines_of_several_tickets(), number)
        if line is not None:
            self.refund_one_ticket(line)

    @precondition(lambda self: self.account.refunds)
    @rule(number=numbers, is_failed=st.booleans())
    def the_buyers_bank_decides_about_a_refund(self, number: int, is_failed: bool) -> None:
        refunds = [one for one in self.account.refunds.values() if one["status"] != "failed"]
        if refunds:
            refund = refunds[number % len(refunds)]
            if is_failed:
                self.account.fail_refund(refund["id"])
            elif refund["status"] == "pending":
                self.account.complete_refund(refund["id"])

    @has_intent("succeeded")
    @rule(number=numbers, is_inquiry=st.booleans())
    def a_buyer_disputes(self, number: int, is_inquiry: bool) -> None:
        intent = self.pick_intent(number, "succeeded")
        if intent is not None:
            charge = self.account.charges[intent["latest_charge"]]
            if not charge["disputed"] and not charge["amount_refunded"]:
                self.account.dispute(intent["id"], is_inquiry=is_inquiry)

    @precondition(lambda self: self.account.disputes)
    @rule(number=numbers, step=st.sampled_from(["evidence", "escalate", "won", "lost"]))
    def a_dispute_goes_on(self, number: int, step: str) -> None:
        open_ = [one for one in self.account.disputes.values() if not self.is_closed(one)]
        if open_:
            self.proceed(open_[number % len(open_)], step)

    # --- reports, time and the portal's own work ------------------------------------------------------------

    @precondition(lambda self: self.account.events)
    @rule(number=st.integers(0, 8))
    def an_event_is_delivered(self, number: int) -> None:
        """Deliver one of the nine newest events, even if it was delivered before."""
        self.deliver(self.account.events[-1 - number % len(self.account.events)])

    @rule()
    def all_events_are_delivered(self) -> None:
        self.deliver_all()

    @rule(minutes=st.sampled_from([0, 1, 16, 60 * 24]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes, seconds=1)

    @rule()
    def holds_expire(self) -> None:
        self.release_holds()

    @rule(is_full=st.booleans())
    def the_portal_compares_with_stripe(self, is_full: bool) -> None:
        services.reconcile(now=self.now, is_full=is_full)

    @precondition(lambda self: Discrepancy.objects.open().exists())
    @rule(number=numbers, release=st.booleans())
    def staff_resolve_a_case(self, number: int, release: bool) -> None:
        case = self.pick(Discrepancy.objects.open(), number)
        if case is not None and case.keeps_seats:
            reservations.settle(
                discrepancy=case,
                settlement="decided",
                release_seats=release,
                user=self.staff,
                now=self.now,
            )

    # --- helpers ---------------------------------------------------------------------------------------------

    def pick(self, queryset: Any, number: int) -> Any:
        found = list(queryset.order_by("pk"))
        return found[number % len(found)] if found else None

    def pick_intent(self, number: int, status: str) -> dict[str, Any] | None:
        intents = [one for one in self.account.intents.values() if one["status"] == status]
        return intents[number % len(intents)] if intents else None


@pytest.mark.parametrize("steps", FIRST_STEPS)
def test_the_books_are_right_after_the_first_steps_of_three_payments(steps: str) -> None:
    shop = SmallShop()

    shop.open_shop(4, [steps] * 3, [2, 1])

    shop.close_shop()


def test_returned_tickets_go_to_the_first_customer_in_line_whose_wish_fits() -> None:
    shop = SmallShop()
    shop.open_shop(2, ["pay deliver"], [2, 1, 1])

    shop.now += timedelta(minutes=16)
    shop.release_holds()
    [offer] = shop.offer_tickets()

    assert offer == WaitingEntry.objects.order_by("pk")[1].reservation
    shop.close_shop()


@pytest.mark.slow
def test_no_sequence_of_steps_loses_money_or_seats_or_leaves_a_case_open() -> None:
    run_state_machine_as_test(
        Shop,
        settings=hypothesis_settings(
            max_examples=20,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
