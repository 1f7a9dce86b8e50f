"""Simulate a small shop whose buyers, staff and bank act in any order, and check its invariants.

Each step of `SmallShop` checks its own result. `check()` reconciles the shop with Stripe, compares the books, resolves
every case, and checks that none is left.
"""

import contextlib
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from core.lib.outbound import breaker
from payments import services
from payments.models import Dispute, Mismatch, Payment, Refund
from payments.models.intents import PaymentStatus
from payments.services.webhooks.receive import record_event
from reservations import services as reservations
from reservations.models import Discrepancy, Line, Reservation, Status, WaitingEntry
from reservations.queries.drift import find_drift
from tests.factories import make_app, make_ticket_type, wanted
from tests.payments.books import check_alerts, check_books, check_cases
from tests.payments.in_process import connected
from tests.payments.stripe_account import StripeAccount

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PRICE = 2500
# Each payment takes one of these sequences of steps before the random steps begin.
FIRST_STEPS = [
    "",
    "pay",
    "pay deliver",
    "pay shuffle",
    "debit deliver",
    "debit decline shuffle",
    "authorize deliver",
    "pay-again pay deliver",
    "pay deliver refund-one",
    "pay deliver dispute",
    "pay deliver dispute deliver lost",
    "pay deliver dispute won",
    "pay deliver inquire deliver",
    "pay dispute lost shuffle",
    "pay deliver refund",
    "pay deliver refund deliver fail",
]


class SmallShop:
    """A shop with one ticket type, up to three buyers who requested a payment, and a waiting list for the tickets."""

    def open_shop(self, capacity: int, first_steps: list[str], waiting: list[int]) -> None:
        """Open the shop, and take the n-th sequence of `first_steps` with the n-th payment.

        `waiting` has the number of tickets that each customer on the waiting list wants.
        """
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
            self.reserve_and_ask_for_payment(quantity)
        for quantity in waiting:
            self.join_waiting_list(quantity)
        # A random sequence alone seldom reaches a dispute, so these steps come first.
        for intent, steps in zip(list(self.account.intents.values()), first_steps, strict=False):
            for step in steps.split():
                self.now += timedelta(seconds=1)
                self.take_first_step(intent["id"], step)

    def close_shop(self) -> None:
        """Check all invariants, and roll back the shop's transaction."""
        try:
            self.check()
        finally:
            transaction.set_rollback(True)
            self.resources.close()

    def take_first_step(self, intent_id: str, step: str) -> None:
        at_stripe: dict[str, Callable[[str], object]] = {
            "pay": self.account.pay,
            "debit": self.account.start_debit,
            "decline": self.account.decline,
            "authorize": self.account.authorize,
            "dispute": self.account.dispute,
            "inquire": partial(self.account.dispute, is_inquiry=True),
        }
        if step in at_stripe:
            at_stripe[step](intent_id)
            return
        payment = Payment.objects.get(intent_id=intent_id)
        match step:
            case "pay-again":
                reservation = Reservation.objects.get(uuid=payment.reservation_id)
                if self.ask_for_payment(reservation, payment.amount):
                    self.account.pay(list(self.account.intents)[-1])
            case "deliver":
                self.deliver_all()
            case "shuffle":
                for event in reversed(self.account.events):
                    self.deliver(event)
            case "won" | "lost":
                for dispute in list(self.account.disputes.values()):
                    if dispute["payment_intent"] == intent_id:
                        self.proceed(dispute, step)
            case "refund":
                self.refund(payment, payment.refundable, Refund.Seats.RELEASE)
            case "refund-one":
                for line in self.lines_of_several_tickets().filter(reservation__payment=payment):
                    self.refund_one_ticket(line)
            case "fail":
                for refund in list(self.account.refunds.values()):
                    self.account.fail_refund(refund["id"])

    def timestamp(self) -> float:
        return self.now.timestamp()

    # --- buyers -------------------------------------------------------------------------------------------

    def reserve_and_ask_for_payment(self, quantity: int) -> None:
        order = wanted((self.standing, quantity))
        try:
            made = reservations.reserve(app=self.app, wanted=order, now=self.now).reservation
        except reservations.SoldOut:
            return
        self.ask_for_payment(made, quantity * PRICE)

    def ask_for_payment(self, reservation: Reservation, amount: int) -> bool:
        new_payment = services.NewPayment(
            amount=amount, currency="EUR", reservation_id=str(reservation.uuid)
        )
        try:
            services.create_payment(
                app=self.app, new_payment=new_payment, key=uuid.uuid4().hex, now=self.now
            )
        except services.NotPayable:
            return False
        return True

    def join_waiting_list(self, quantity: int) -> None:
        with contextlib.suppress(reservations.NotSoldOut, reservations.MoreThanCapacity):
            reservations.join(
                app=self.app,
                ticket_type=self.standing.pk,
                quantity=quantity,
                customer=uuid.uuid4().hex,
                order_id="",
                now=self.now,
            )

    def offer_tickets(self) -> list[Reservation]:
        """Offer returned tickets to the waiting list, check that no customer was skipped, and return the offers."""
        lined_up = list(WaitingEntry.objects.waiting().values_list("pk", flat=True))
        reservations.offer_tickets(now=self.now)
        entries = WaitingEntry.objects.filter(pk__in=lined_up).select_related("reservation")
        free = self.standing.count_free()
        offers = []
        # In reverse order, `free` is the number of tickets that were left for each entry.
        for entry in sorted(entries, key=lambda entry: entry.pk, reverse=True):
            if entry.reservation is not None:
                free += entry.quantity
                offers.append(entry.reservation)
            elif entry.state == WaitingEntry.State.WAITING:
                assert entry.quantity > free, "a customer further back came first"
        return offers

    # --- refunds and disputes -----------------------------------------------------------------------------

    def lines_of_several_tickets(self) -> Any:
        sold = Line.objects.filter(reservation__status=Status.COMPLETED, quantity__gt=1, released=0)
        return sold.select_related("reservation__payment")

    def refund_one_ticket(self, line: Line) -> None:
        """Refund one ticket of the line, and check that its other tickets stay sold."""
        payment = line.reservation.payment
        if payment is None or payment.refundable <= PRICE:
            return
        self.standing.refresh_from_db()
        sold = self.standing.sold
        refund = self.refund(payment, PRICE, Refund.Seats.RELEASE, {str(line.pk): 1})
        if refund is not None and refund.state == Refund.State.SUCCEEDED:
            line.refresh_from_db()
            self.standing.refresh_from_db()
            assert (line.released, self.standing.sold) == (1, sold - 1), "released other tickets"
            line.reservation.refresh_from_db()
            assert line.reservation.status == Status.COMPLETED

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

    # --- events ---------------------------------------------------------------------------------------------

    def deliver_all(self) -> None:
        for event in list(self.account.events):
            self.deliver(event)

    def deliver(self, event: dict[str, Any]) -> None:
        """Deliver an event. Check that only a newer event changes the status, and that a success is final."""
        intent_id = event["data"]["object"]["id"]
        before = Payment.objects.filter(intent_id=intent_id).first()
        received = record_event(event, endpoint="default", livemode=False, now=self.now)
        services.process_event(event_pk=received.event.pk, now=self.now)
        if before is None or received.event.deliveries > 1:
            return
        after = Payment.objects.get(pk=before.pk)
        if before.status == PaymentStatus.SUCCEEDED:
            assert after.status == PaymentStatus.SUCCEEDED
        elif before.status_at is not None and before.status != PaymentStatus.CANCELED:
            assert after.status_at is not None
            assert after.status_at >= before.status_at, "an older report won"
            if received.event.created_at > before.status_at:
                assert after.status == event["data"]["object"]["status"], "a newer report lost"

    # --- helpers ---------------------------------------------------------------------------------------------

    def is_closed(self, dispute: dict[str, Any]) -> bool:
        return dispute["status"] in Dispute.CLOSED

    def refund(
        self,
        payment: Payment,
        amount: int,
        seats: Refund.Seats,
        items: Mapping[str, int] | None = None,
    ) -> Refund | None:
        self.account.next_refund_status = "succeeded"
        try:
            return services.refund(
                payment=payment,
                new_refund=services.NewRefund(
                    amount=amount, reason="asked for", seats=seats, released_items=items or {}
                ),
                form=uuid.uuid4(),
                user=self.staff,
                now=self.now,
            )
        except services.CannotRefund:
            return None

    def release_holds(self) -> None:
        """Release expired holds. Check that no hold is released while its payment is processing.

        Payments that have been processing for longer than PROCESSING_HOLD_DAYS are left out.
        """
        since = self.now - timedelta(days=settings.PROCESSING_HOLD_DAYS)
        processing = Payment.objects.filter(status="processing", status_at__gt=since)
        ids = list(processing.values_list("reservation_id", flat=True))
        held = Reservation.objects.active().filter(uuid__in=ids)
        before = set(held.values_list("pk", flat=True))
        reservations.release_expired(now=self.now)
        assert set(held.values_list("pk", flat=True)) == before

    # --- the invariants ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Reconcile the shop with Stripe, check the books, and resolve all cases. Then check that no case is left."""
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
        """Check that each offer has the requested tickets, and that no customer waits while enough tickets are free."""
        self.offer_tickets()
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
        self.release_holds()

    def put_everything_right(self) -> None:
        for dispute in list(self.account.disputes.values()):
            if not self.is_closed(dispute):
                self.proceed(dispute, "lost")
        for _ in range(3):
            self.catch_up()
            for mismatch in Mismatch.objects.open().select_related("payment"):
                if mismatch.payment and mismatch.payment.refundable:
                    self.refund(mismatch.payment, mismatch.payment.refundable, Refund.Seats.RELEASE)
                else:  # A dispute has withdrawn the money, so staff can only settle the case.
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
