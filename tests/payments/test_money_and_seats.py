"""Payments, refunds, disputes, waiting buyers and reports in any order end with right books and no open case."""

import contextlib
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
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

from core.lib.outbound import breaker
from payments import services
from payments.models import Dispute, Mismatch, Payment, Refund
from payments.services.webhooks.receive import record_event
from reservations import services as reservations
from reservations.models import Discrepancy, Line, Reservation, Status, WaitingEntry
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_ticket_type, wanted
from tests.payments.books import check_alerts, check_books, check_cases
from tests.payments.in_process import connected
from tests.payments.stripe_account import Refused, StripeAccount

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PRICE = 2500
numbers = st.integers(0, 11)
Step = TypeVar("Step", bound=Callable[..., Any])
MAX_RESERVATIONS, MAX_PAYMENTS, MAX_WAITING = 5, 7, 3
# The state of a payment when the random steps begin.
FIRST_STEPS = [
    "",
    "pay",
    "pay deliver",
    "pay shuffle",
    "debit deliver",
    "authorize deliver",
    "pay deliver dispute",
    "pay deliver dispute deliver lost",
    "pay deliver dispute won",
    "pay deliver inquire deliver",
    "pay dispute lost shuffle",
    "pay deliver refund",
    "pay deliver refund deliver fail",
]


def has_intent(*statuses: str) -> Callable[[Step], Step]:
    """Return a precondition: a step is only taken if Stripe has an intent in one of these statuses."""

    def check(shop: "Shop") -> bool:
        return any(one["status"] in statuses for one in shop.account.intents.values())

    return precondition(check)


class Shop(RuleBasedStateMachine):
    """Buyers, staff and the bank of a small shop. Stripe's events arrive in any order, twice, or never."""

    @initialize(
        capacity=st.integers(1, 4),
        first_steps=st.lists(st.sampled_from(FIRST_STEPS), min_size=3, max_size=3),
    )
    def open(self, capacity: int, first_steps: list[str]) -> None:
        self.resources = contextlib.ExitStack()
        self.resources.enter_context(transaction.atomic())
        breaker.reset_all()
        self.now = NOON
        self.account = StripeAccount(clock=self.timestamp)
        self.resources.enter_context(connected(self.account))
        self.app = make_app()
        self.staff = User.objects.create_user(f"staff-{uuid.uuid4().hex[:8]}")
        self.standing = make_ticket_type(capacity, price=PRICE, has_waiting_list=True)
        for quantity in (1, 2, 1):
            self.a_buyer_reserves_and_asks_for_a_payment(quantity)
        # A random sequence alone seldom reaches a dispute.
        for intent, steps in zip(list(self.account.intents.values()), first_steps, strict=False):
            for step in steps.split():
                self.now += timedelta(seconds=1)
                self.take_first_step(intent["id"], step)

    def take_first_step(self, intent_id: str, step: str) -> None:
        match step:
            case "pay":
                self.account.pay(intent_id)
            case "debit":
                self.account.start_debit(intent_id)
            case "authorize":
                self.account.authorize(intent_id)
            case "deliver":
                self.all_events_are_delivered()
            case "shuffle":
                for event in reversed(self.account.events):
                    self.deliver(event)
            case "dispute" | "inquire":
                self.account.dispute(intent_id, is_inquiry=step == "inquire")
            case "won" | "lost":
                [dispute] = [
                    one
                    for one in self.account.disputes.values()
                    if one["payment_intent"] == intent_id
                ]
                self.proceed(dispute, step)
            case "refund":
                payment = Payment.objects.get(intent_id=intent_id)
                self.refund(payment, payment.refundable, Refund.Seats.RELEASE)
            case "fail":
                for refund in list(self.account.refunds.values()):
                    self.account.fail_refund(refund["id"])

    def timestamp(self) -> float:
        return self.now.timestamp()

    def teardown(self) -> None:
        if hasattr(self, "resources"):
            try:
                self.check()
            finally:
                transaction.set_rollback(True)
                self.resources.close()

    # --- buyers -------------------------------------------------------------------------------------------

    @precondition(lambda self: Reservation.objects.count() < MAX_RESERVATIONS)
    @rule(quantity=st.integers(1, 2))
    def a_buyer_reserves_and_asks_for_a_payment(self, quantity: int) -> None:
        order = wanted((self.standing, quantity))
        try:
            made = reservations.reserve(app=self.app, wanted=order, now=self.now).reservation
        except reservations.SoldOut:
            return
        self.ask_for_payment(made, quantity * PRICE)

    @precondition(lambda self: Payment.objects.count() < MAX_PAYMENTS)
    @rule(number=numbers)
    def a_buyer_asks_for_a_second_payment(self, number: int) -> None:
        reservation = self.pick(Reservation.objects.filter(status=Status.ACTIVE), number)
        if reservation is not None:
            with contextlib.suppress(services.NotPayable):
                self.ask_for_payment(
                    reservation, sum(line.amount for line in reservation.lines.all())
                )

    def ask_for_payment(self, reservation: Reservation, amount: int) -> None:
        new_payment = services.NewPayment(
            amount=amount, currency="EUR", reservation_id=str(reservation.uuid)
        )
        services.create_payment(
            app=self.app, new_payment=new_payment, key=uuid.uuid4().hex, now=self.now
        )

    @precondition(lambda self: WaitingEntry.objects.count() < MAX_WAITING)
    @rule(quantity=st.integers(1, 2))
    def a_buyer_joins_the_waiting_list(self, quantity: int) -> None:
        with contextlib.suppress(reservations.NotSoldOut):
            reservations.join(
                app=self.app,
                ticket_type=self.standing.pk,
                quantity=quantity,
                customer=uuid.uuid4().hex,
                order_id="",
                now=self.now,
            )

    @precondition(lambda self: WaitingEntry.objects.exists())
    @rule(number=numbers)
    def a_buyer_leaves_the_waiting_list(self, number: int) -> None:
        entry = self.pick(WaitingEntry.objects.select_related("reservation"), number)
        with contextlib.suppress(reservations.CannotChange):
            reservations.leave(entry=entry, now=self.now)

    @precondition(lambda self: WaitingEntry.objects.waiting().exists())
    @rule(is_paying=st.booleans())
    def returned_tickets_are_offered(self, is_paying: bool) -> None:
        before = set(Reservation.objects.values_list("pk", flat=True))
        reservations.offer_tickets(now=self.now)
        for offered in Reservation.objects.exclude(pk__in=before) if is_paying else ():
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
        sold = Line.objects.filter(reservation__status=Status.COMPLETED, quantity__gt=1, released=0)
        line = self.pick(sold.select_related("reservation__payment"), number)
        payment = line and line.reservation.payment
        if payment is not None and payment.refundable > PRICE:
            self.refund(payment, PRICE, Refund.Seats.RELEASE, {str(line.pk): 1})

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

    def proceed(self, dispute: dict[str, Any], step: str) -> None:
        if step == "evidence":
            if "needs_response" in dispute["status"]:
                self.account.send_evidence(dispute["id"])
        elif step == "escalate":
            if dispute["status"].startswith("warning"):
                self.account.escalate(dispute["id"])
        elif dispute["status"].startswith("warning"):
            self.account.close_dispute(dispute["id"], "warning_closed")
        else:
            self.account.close_dispute(dispute["id"], step)

    # --- reports, time and the portal's own work ------------------------------------------------------------

    @precondition(lambda self: self.account.events)
    @rule(number=st.integers(0, 8))
    def an_event_is_delivered(self, number: int) -> None:
        """Deliver one of the newest events, also one that was delivered before."""
        self.deliver(self.account.events[-1 - number % len(self.account.events)])

    @rule()
    def all_events_are_delivered(self) -> None:
        for event in list(self.account.events):
            self.deliver(event)

    def deliver(self, event: dict[str, Any]) -> None:
        """Deliver an event. An older one does not undo a payment's success."""
        succeeded = set(Payment.objects.succeeded().values_list("pk", flat=True))
        received = record_event(event, endpoint="default", livemode=False, now=self.now)
        services.process_event(event_pk=received.event.pk, now=self.now)
        assert succeeded <= set(Payment.objects.succeeded().values_list("pk", flat=True))

    @rule(minutes=st.sampled_from([0, 1, 16, 60 * 24]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes, seconds=1)

    @rule()
    def holds_expire(self) -> None:
        """Release expired holds, but none for which money is on its way."""
        since = self.now - timedelta(days=settings.PROCESSING_HOLD_DAYS)
        processing = Payment.objects.filter(status="processing", status_at__gt=since)
        ids = list(processing.values_list("reservation_id", flat=True))
        held = Reservation.objects.active().filter(uuid__in=ids)
        before = set(held.values_list("pk", flat=True))
        reservations.release_expired(now=self.now)
        assert set(held.values_list("pk", flat=True)) == before

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

    def is_closed(self, dispute: dict[str, Any]) -> bool:
        return dispute["status"] in Dispute.CLOSED

    def refund(
        self,
        payment: Payment,
        amount: int,
        seats: Refund.Seats,
        items: Mapping[str, int] | None = None,
    ) -> None:
        self.account.next_refund_status = "succeeded"
        with contextlib.suppress(services.CannotRefund):
            services.refund(
                payment=payment,
                new_refund=services.NewRefund(
                    amount=amount, reason="asked for", seats=seats, released_items=items or {}
                ),
                form=uuid.uuid4(),
                user=self.staff,
                now=self.now,
            )

    # --- the invariants ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check the books after all events have arrived, then resolve every case and check that none is left."""
        self.catch_up()
        check_books(self.account)
        check_cases()
        check_alerts()
        self.put_everything_right()
        check_books(self.account)
        check_cases()
        check_alerts()
        self.check_waiting_list()
        assert not Mismatch.objects.open().exists()
        assert not Discrepancy.objects.open().exists()

    def check_waiting_list(self) -> None:
        """Check that an offer is what the customer requested, and that no customer waits for tickets that are free."""
        reservations.offer_tickets(now=self.now)
        free = self.standing.count_free()
        assert all(entry.quantity > free for entry in WaitingEntry.objects.waiting())
        for entry in WaitingEntry.objects.filter(state="offered").select_related("reservation"):
            assert entry.reservation is not None
            assert entry.reservation.customer == entry.customer
            assert entry.reservation.lines.get().quantity == entry.quantity
        assert find_drift() == []

    def catch_up(self) -> None:
        self.now += timedelta(minutes=20)
        services.reconcile(now=self.now, is_full=True)
        self.holds_expire()

    def put_everything_right(self) -> None:
        for dispute in list(self.account.disputes.values()):
            if not self.is_closed(dispute):
                self.proceed(dispute, "lost")
        for _ in range(3):
            self.catch_up()
            for mismatch in Mismatch.objects.open().select_related("payment"):
                if mismatch.payment and mismatch.payment.refundable:
                    self.refund(mismatch.payment, mismatch.payment.refundable, Refund.Seats.RELEASE)
                else:  # the money is with a dispute; staff settle with the buyer
                    services.settle_mismatch(
                        mismatch=mismatch, settlement="settled", user=self.staff, now=self.now
                    )
            for case in Discrepancy.objects.open().select_related("payment"):
                if case.keeps_seats or not case.payment.refundable:
                    reservations.settle(
                        discrepancy=case,
                        settlement="released",
                        release_seats=True,
                        user=self.staff,
                        now=self.now,
                    )
                else:
                    self.refund(case.payment, case.payment.refundable, Refund.Seats.UNDECIDED)


@pytest.mark.slow
@pytest.mark.django_db
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
