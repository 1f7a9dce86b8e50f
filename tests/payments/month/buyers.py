"""Simulate buyers and their banks, and inject the faults of their orders."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User

from core.clients.models import ClientApp
from payments import services, stripe_api
from payments.models import Payment, Refund
from reservations import services as reservations
from reservations.models import Event, Reservation, TicketType
from tests.payments.month.clock import DAY, HOUR, MINUTE, Clock
from tests.payments.month.faults import GAVE_UP
from tests.payments.stripe_double import Fault, StripeDouble

PRICE = 2500


@dataclass
class Order:
    number: int
    fault: str
    reservation: Reservation
    payment: Payment | None = None
    intent_ids: set[str] = field(default_factory=set)
    is_over: bool = False


class Buyers:
    def __init__(self, double: StripeDouble, clock: Clock) -> None:
        assert double.account is not None
        self.double, self.account, self.clock = double, double.account, clock
        self.app = ClientApp.objects.create(slug="shop", name="Shop")
        self.staff = User.objects.create(username="staff")
        self.event = Event.objects.create(slug="night", name="Night")
        self.standing = TicketType.objects.create(
            event=self.event, name="Standing", capacity=1_000_000, price=PRICE
        )
        self.orders: list[Order] = []

    def find(self, intent_id: str) -> Order | None:
        """Return the order of the intent, or None if no order has it."""
        return next((one for one in self.orders if intent_id in one.intent_ids), None)

    def take_order(self, fault: str) -> None:
        type_ = self.standing
        if fault == "paid late, sold out":
            name = f"Single {len(self.orders)}"
            type_ = TicketType.objects.create(event=self.event, name=name, capacity=1, price=PRICE)
        wanted = reservations.Wanted(
            items=((type_.pk, 1),), customer="", order_id="", key=uuid.uuid4().hex, digest="-"
        )
        made = reservations.reserve(app=self.app, wanted=wanted, now=self.clock.now).reservation
        order = Order(len(self.orders), fault, made)
        self.orders.append(order)
        key = f"key-{order.number}"
        if fault == "response lost":
            self.double.faults.insert(0, Fault("drop_after", times=2))
        if fault == "killed while creating":
            self._die_while_creating(order, key)
        self.clock.at(timedelta(0), lambda: self.create(order, key))

    def create(self, order: Order, key: str) -> None:
        """Request the payment. If the response is lost, the clock repeats this call with the same key."""
        new_payment = services.NewPayment(
            amount=PRICE, currency="EUR", reservation_id=str(order.reservation.uuid)
        )
        try:
            services.create_payment(
                app=self.app, new_payment=new_payment, key=key, now=self.clock.now
            )
        except services.NotPayable:  # The hold expired while Stripe did not respond.
            order.fault = GAVE_UP
            return
        payment = Payment.objects.get(key=key)
        order.intent_ids.add(payment.intent_id or "")
        first, order.payment = order.payment, order.payment or payment
        self.clock.at(5 * MINUTE, lambda: self.pay(order, payment.intent_id or ""))
        if order.fault == "paid twice" and first is None:
            self.clock.at(MINUTE, lambda: self.create(order, f"{key}-again"))

    def _die_while_creating(self, order: Order, key: str) -> None:
        class Killed(Exception):
            pass

        def die(**_: Any) -> None:
            raise Killed

        create_intent, stripe_api.create_intent = stripe_api.create_intent, die  # type: ignore[assignment]
        try:
            self.create(order, key)
        except (Killed, services.StripeUnavailable):
            Payment.objects.filter(key=key).update(locked_until=self.clock.now + 2 * MINUTE)
        finally:
            stripe_api.create_intent = create_intent

    def pay(self, order: Order, intent_id: str) -> None:
        pay = partial(self.account.pay, intent_id)
        match order.fault:
            case "paid late" | "paid late, sold out":
                self.clock.at(20 * MINUTE, lambda: self._snatch(order))
                self.clock.at(30 * MINUTE, pay)
            case "captured in part":
                self.account.authorize(intent_id)
                self.clock.at(HOUR, lambda: self.account.capture(intent_id, 1000))
            case "bank debit":
                self.account.start_debit(intent_id)
                self.clock.at(2 * DAY, pay)
            case "bank debit fails":
                self.account.start_debit(intent_id)
                self.clock.at(2 * DAY, lambda: self.account.decline(intent_id))
            case "unknown here":
                pay()
                assert order.payment is not None
                order.payment.timeline.all().delete()
                # Lose the payment's row, as after the restore of an older backup.
                order.payment.delete()
            case _:
                pay()
                self.clock.at(HOUR, lambda: self.go_on(order, intent_id))

    def _snatch(self, order: Order) -> None:
        """Let another buyer take the seat of an expired hold if it is the only seat of its ticket type."""
        line = order.reservation.lines.get()
        if line.ticket_type_id == self.standing.pk:
            return
        wanted = reservations.Wanted(
            items=((line.ticket_type_id, 1),),
            customer="",
            order_id="",
            key=uuid.uuid4().hex,
            digest="-",
        )
        other = reservations.reserve(app=self.app, wanted=wanted, now=self.clock.now).reservation
        reservations.complete(reservation=other, paid_elsewhere="desk", now=self.clock.now)

    def go_on(self, order: Order, intent_id: str) -> None:
        """Inject the faults that affect some orders after they are paid."""
        payment = Payment.objects.get(intent_id=intent_id)
        match order.fault:
            case "refunded by staff":
                self.refund(payment, Refund.Seats.RELEASE)
            case "refunded at Stripe":
                self.account.refund(intent_id)
            case "refund fails":
                made = self.refund(payment, Refund.Seats.RELEASE)
                self.clock.at(2 * DAY, lambda: self._fail_refund(made))
            case "refund request lost":
                self._lose("drop_before")
                asked = self.refund(payment, Refund.Seats.RELEASE)
                # Move the time of the request back by a day, as if the sweeper's retries had also been lost.
                Refund.objects.filter(pk=asked.pk).update(asked_at=self.clock.now - DAY)
            case "refund response lost":
                self._lose("drop_after")
                self.refund(payment, Refund.Seats.RELEASE)
            case "dispute won" | "dispute lost":
                [opened, *_] = self.account.dispute(intent_id)
                id_ = opened["data"]["object"]["id"]
                self.clock.at(DAY, lambda: self.account.send_evidence(id_))
                outcome = order.fault.removeprefix("dispute ")
                self.clock.at(4 * DAY, lambda: self.account.close_dispute(id_, outcome))
            case "inquiry":
                [opened] = self.account.dispute(intent_id, is_inquiry=True)
                id_ = opened["data"]["object"]["id"]
                self.clock.at(3 * DAY, lambda: self.account.close_dispute(id_, "warning_closed"))

    def _fail_refund(self, made: Refund) -> None:
        made.refresh_from_db()
        self.account.fail_refund(made.stripe_id or "")

    def _lose(self, kind: str) -> None:
        self.double.faults.insert(0, Fault(kind, path="/v1/refunds", times=2))

    def refund(self, payment: Payment, seats: Refund.Seats) -> Refund:
        return services.refund(
            payment=payment,
            new_refund=services.NewRefund(
                amount=payment.refundable, reason="asked for", seats=seats
            ),
            form=uuid.uuid4(),
            user=self.staff,
            now=self.clock.now,
        )
