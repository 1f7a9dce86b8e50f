"""Simulate a month of a shop with five problems whose effects are known, and keep the shop's own books.

Orders go through the portal's services, and payments exist at the Stripe double. Plain arithmetic keeps the books
separately, for comparison with the portal and with Stripe at any time. `MONTH_ORDERS=20000` sets the number of orders.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from core.clients.models import ClientApp
from core.lib.outbound import breaker
from errors.services import NewEvent, record_events
from payments.models import Payment, Refund
from payments.services.apply import count_refunds
from reservations import services
from reservations.models import Reservation, TicketType
from tests.errors.stored import new_error
from tests.factories import make_event, make_payment, make_ticket_type, wanted
from tests.payments.stripe_double import Fault, StripeDouble

START = datetime(2026, 10, 5, tzinfo=UTC)  # A Monday.
DAYS = 28
PRICES = {"EUR": 4500, "USD": 5000, "GBP": 3900, "JPY": 6000}
HOLD = timedelta(minutes=15)
# The payment provider does not respond during this time. Holds that would expire meanwhile are extended by ten minutes,
# as often as necessary.
OUTAGE = (datetime(2026, 10, 15, 12, 35, tzinfo=UTC), datetime(2026, 10, 15, 13, 25, tzinfo=UTC))
EXTENSION, EXTENDED_BEFORE = timedelta(minutes=10), timedelta(minutes=5)
# The portal assumes that an outage began this long before the first failed check.
NOTICED_AFTER = timedelta(minutes=2)
# Name, start as a fraction of the month, length, and share of orders affected.
PROBLEMS = (
    ("bad release", 0.15, timedelta(hours=24), 0.9),
    ("provider", 0.35, timedelta(hours=30), 0.8),
    ("price service", 0.55, timedelta(hours=24), 0.7),
    ("slow database", 0.72, timedelta(hours=40), 0.6),
    ("gate", 0.85, timedelta(days=3), 0.4),
)


@dataclass
class Booked:
    """One order in the books, with its amount, its last state, and the problems whose errors named it."""

    order_id: str
    currency: str
    amount: int
    seats: int
    ends_at: datetime  # Expiry of the hold.
    paid_at: datetime | None = None
    returned: int = 0
    is_in_flight: bool = False  # The bank has not decided on the payment yet.
    is_released: bool = False
    ended_at: datetime | None = None
    named_at: dict[str, datetime] = field(default_factory=dict)

    def state(self, problem: str, now: datetime) -> str:
        first_at = self.named_at[problem]
        if self.paid_at and self.returned < self.amount:
            return "recovered" if self.paid_at > first_at else "safe"
        if self.is_in_flight:
            return "at_risk"
        ended_at = self.ended_at or (self.ends_at if self.ends_at <= now else None)
        if ended_at is None:
            return "at_risk"
        return "lost" if ended_at > first_at else "earlier"

    @property
    def worth(self) -> int:
        is_kept = self.paid_at and self.returned < self.amount
        return self.amount - self.returned if is_kept else self.amount


# Time, sequence number (orders actions of the same time), name, and order number.
Action = tuple[datetime, int, str, int]


class Month:
    def __init__(self, app: ClientApp, double: StripeDouble, *, orders: int, seed: int = 7) -> None:
        assert double.account is not None
        self.app, self.double, self.account = app, double, double.account
        self.now = START
        self.account.clock = self._timestamp
        self.random = random.Random(seed)
        self.books: dict[int, Booked] = {}
        event = make_event(hold_minutes=15, extends_holds_in_outages=True)
        self.types: dict[str, TicketType] = {
            currency: make_ticket_type(10 * orders, price=price, currency=currency, event=event)
            for currency, price in PRICES.items()
        }
        self._reservations: dict[int, Reservation] = {}
        self._payments: dict[int, Payment] = {}  # Maps each order to its newest payment attempt.
        self._chosen: dict[
            int, Payment
        ] = {}  # Maps each order to its confirmed or paid payment attempt.
        self._actions = sorted(self._plan(orders))

    def _timestamp(self) -> float:
        return self.now.timestamp()

    def _plan(self, orders: int) -> Iterator[Action]:
        number = 0

        def at(when: datetime, what: str, order: int) -> Action:
            nonlocal number
            number += 1
            return (when, number, what, order)

        length = timedelta(days=DAYS)
        for order in range(orders):
            begins = START + length * self.random.random()
            if order % 20 == 0:  # Every twentieth order begins during or just before the outage.
                begins = OUTAGE[0] - HOLD + (OUTAGE[1] - OUTAGE[0]) * self.random.random()
            draw = self.random.random
            yield at(begins, "reserve", order)
            # The buyer abandons up to two attempts.
            for _ in range(self.random.choice([0, 0, 0, 1, 2])):
                yield at(begins + timedelta(minutes=1 + 2 * draw()), "try", order)
            is_hit = False
            for name, start, lasts, share in PROBLEMS:
                since = START + length * start
                if since <= begins < since + lasts and draw() < share:
                    is_hit = True
                    for _ in range(self.random.choice([1, 1, 2, 5])):
                        yield at(begins + timedelta(minutes=4 * draw()), f"error {name}", order)
            if draw() < (0.35 if is_hit else 0.8):
                paid = begins + timedelta(minutes=2 + 10 * draw())
                if OUTAGE[0] <= paid < OUTAGE[1]:
                    paid = OUTAGE[1] + timedelta(minutes=2 * draw())
                if draw() < 0.1:
                    yield at(paid, "confirm", order)
                    decided = paid + timedelta(minutes=5 + 300 * draw())
                    yield at(decided, "pay" if draw() < 0.6 else "refuse", order)
                    continue
                yield at(paid, "pay", order)
                if draw() < 0.08:
                    whole = draw() < 0.5
                    what = "refund all" if whole else "refund some"
                    yield at(paid + timedelta(hours=1 + 60 * draw()), what, order)
            elif draw() < 0.3:
                yield at(begins + timedelta(minutes=12), "cancel", order)
        for hour in range(DAYS * 24):
            yield at(START + timedelta(hours=hour, minutes=30), "clean up", -1)
        for minute in range(int((OUTAGE[1] - OUTAGE[0]) / timedelta(minutes=1)) + 1):
            yield at(OUTAGE[0] + timedelta(minutes=minute), "check provider", -1)

    def run(self, steps: int) -> Iterator[datetime]:
        """Run the month. Yield the current time `steps` times, each time after the same number of actions."""
        size = max(1, len(self._actions) // steps)
        for place, (now, _, what, order) in enumerate(self._actions, 1):
            self._act(what, order, now)
            if place % size == 0 or place == len(self._actions):
                yield now + timedelta(milliseconds=1)

    def _act(self, what: str, order: int, now: datetime) -> None:
        self.now = now
        match what:
            case "reserve":
                self._reserve(order, now)
            case "try":
                self._try(order, now)
            case "confirm":
                self._confirm(order, now)
            case "refuse":
                self._refuse(order, now)
            case "pay":
                self._pay(order, now)
            case "refund all" | "refund some":
                self._refund(order, whole=what == "refund all", now=now)
            case "cancel":
                self._cancel(order, now)
            case "clean up":
                self._clean_up(now)
            case "check provider":
                self._check_provider(now)
            case _:
                self._report(what.removeprefix("error "), order, now)

    def _reserve(self, order: int, now: datetime) -> None:
        currency, seats = self.random.choice(list(PRICES)), self.random.choice([1, 1, 2, 4])
        order_id = f"order-{order}"
        made = services.reserve(
            app=self.app,
            wanted=wanted(
                (self.types[currency], seats),
                order_id=order_id,
                customer=f"customer-{order}",
                key=order_id,
            ),
            now=now,
        )
        self._reservations[order] = made.reservation
        amount = seats * PRICES[currency]
        self.books[order] = Booked(order_id, currency, amount, seats, now + HOLD)

    def _try(self, order: int, now: datetime) -> None:
        self._make_payment(order, now, status="requires_payment_method")

    def _make_payment(self, order: int, now: datetime, **fields: object) -> Payment:
        booked = self.books[order]
        metadata = {"order_id": booked.order_id}
        intent = self.account.create(booked.amount, booked.currency.lower(), metadata)
        payment = make_payment(
            str(self._reservations[order].uuid),
            app=self.app,
            order_id=booked.order_id,
            amount=booked.amount,
            currency=booked.currency,
            intent_id=intent["id"],
            request_id=f"request-{order}",
            now=now,
            status_at=now,
            **fields,
        )
        self._payments[order] = payment
        return payment

    def _confirm(self, order: int, now: datetime) -> None:
        payment = self._chosen[order] = self._make_payment(order, now, status="processing")
        self.account.start_debit(payment.intent_id or "")
        self.books[order].is_in_flight = True

    def _refuse(self, order: int, now: datetime) -> None:
        payment = self._chosen[order]
        self.account.decline(payment.intent_id or "")
        Payment.objects.filter(pk=payment.pk).update(
            status="requires_payment_method", status_at=now
        )
        self.books[order].is_in_flight = False

    def _pay(self, order: int, now: datetime) -> None:
        booked = self.books[order]
        payment = (
            self._chosen[order]
            if booked.is_in_flight
            else self._make_payment(order, now, status="requires_confirmation")
        )
        self.account.pay(payment.intent_id or "")
        payment.status, payment.status_at, payment.amount_received = (
            "succeeded",
            now,
            payment.amount,
        )
        payment.save(update_fields=["status", "status_at", "amount_received"])
        services.complete_paid(payment=payment, now=now)
        self._chosen[order] = payment
        booked.paid_at, booked.is_in_flight = now, False

    def _refund(self, order: int, *, whole: bool, now: datetime) -> None:
        booked, payment = self.books[order], self._chosen[order]
        amount = booked.amount if whole else booked.amount // 3
        self.account.refund(payment.intent_id or "", amount)
        Refund.objects.create(
            payment=payment,
            amount=amount,
            state=Refund.State.SUCCEEDED,
            asked_at=now,
            settled_at=now,
        )
        count_refunds(Payment.objects.get(pk=payment.pk), now=now)
        booked.returned += amount
        if whole:
            booked.ended_at = now

    def _cancel(self, order: int, now: datetime) -> None:
        services.cancel(reservation=self._reservations[order], now=now)
        self.books[order].ended_at = now

    def _clean_up(self, now: datetime) -> None:
        services.release_expired(now=now)
        for booked in self.books.values():
            booked.is_released |= booked.ends_at <= now

    def _check_provider(self, now: datetime) -> None:
        """Run the job that extends holds during an outage, and extend the holds in the books by the same rule."""
        is_down = now < OUTAGE[1]
        self.double.faults = (
            [Fault("status", 503, path="/v1/", writes=False, times=10_000)] if is_down else []
        )
        breaker.reset_all()  # Close the circuit breaker, whose pauses elapse in real time.
        services.extend_during_outage(now=now)
        for booked in self.books.values():
            is_held = not (booked.paid_at or booked.ended_at or booked.is_released)
            if (
                is_down
                and is_held
                and OUTAGE[0] - NOTICED_AFTER < booked.ends_at < now + EXTENDED_BEFORE
            ):
                booked.ends_at = now + EXTENSION

    def _report(self, problem: str, order: int, now: datetime) -> None:
        event = self._error(problem, order, now)
        record_events([event])
        # The portal reads the time from the event's id, which has a resolution of one millisecond.
        received_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.books[order].named_at.setdefault(problem, received_at)

    def _error(self, problem: str, order: int, now: datetime) -> NewEvent:
        booked = self.books[order]
        named: dict[str, Any] = {"order_ref": booked.order_id}
        payment = self._payments.get(order)
        by = self.random.choice(["order", "reservation", "user", "payment", "request"])
        if by == "reservation":
            named = {"reservation_ref": str(self._reservations[order].uuid)}
        elif by == "user":
            named = {"user_key": f"customer-{order}"}
        elif by == "payment" and payment:
            named = {"payment_ref": payment.intent_id}
        elif by == "request" and payment:
            named = {"request_id": payment.request_id}
        return new_error(
            self.app, group=problem, received_at=now, occurred_at=now, title=problem, **named
        )

    def expected(self, problem: str, now: datetime) -> dict[str, tuple[int, dict[str, int]]]:
        """Return the number of orders and their amounts by currency for each state, as computed from the books."""
        found: dict[str, tuple[int, dict[str, int]]] = {}
        for booked in self.books.values():
            if problem not in booked.named_at:
                continue
            state = booked.state(problem, now)
            if state == "earlier":
                continue
            count, sums = found.setdefault(state, (0, {}))
            sums[booked.currency] = sums.get(booked.currency, 0) + booked.worth
            found[state] = (count + 1, sums)
        return found

    def kept_by_stripe(self, problem: str) -> dict[str, int]:
        """Return, by currency, Stripe's balance for the orders that errors of the problem named."""
        named = {one.order_id for one in self.books.values() if problem in one.named_at}
        kept: dict[str, int] = {}
        for charge in self.account.charges.values():
            if charge["metadata"]["order_id"] in named:
                currency = charge["currency"].upper()
                left = charge["amount_captured"] - charge["amount_refunded"]
                kept[currency] = kept.get(currency, 0) + left
        return {currency: amount for currency, amount in kept.items() if amount}
