"""A generated month of a shop with five problems of known effect, and its own books.

The month runs through the portal's services; the books are kept beside it by plain arithmetic, so that both can be
compared at any time. `python -m bench.impact` runs it with 20,000 orders.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from core.clients.models import ClientApp
from errors.services import NewEvent, record_events
from payments.models import Payment, Refund
from payments.services.apply import count_refunds
from reservations import services
from reservations.models import Reservation, TicketType
from tests.errors.stored import new_error
from tests.factories import make_event, make_payment, make_ticket_type, wanted

START = datetime(2026, 10, 5, tzinfo=UTC)  # a Monday
DAYS = 28
PRICES = {"EUR": 4500, "USD": 5000, "GBP": 3900, "JPY": 6000}
HOLD = timedelta(minutes=15)
# Name, start as a part of the month, length, share of the orders in that time that name the problem.
PROBLEMS = (
    ("bad release", 0.15, timedelta(hours=24), 0.9),
    ("provider", 0.35, timedelta(hours=30), 0.8),
    ("price service", 0.55, timedelta(hours=24), 0.7),
    ("slow database", 0.72, timedelta(hours=40), 0.6),
    ("gate", 0.85, timedelta(days=3), 0.4),
)


@dataclass
class Booked:
    """One order in the books."""

    order_id: str
    currency: str
    amount: int
    seats: int
    ends_at: datetime  # end of its hold
    paid_at: datetime | None = None
    returned: int = 0
    ended_at: datetime | None = None
    named_at: dict[str, datetime] = field(default_factory=dict)

    def state(self, problem: str, now: datetime) -> str:
        first_at = self.named_at[problem]
        if self.paid_at and self.returned < self.amount:
            return "recovered" if self.paid_at > first_at else "safe"
        ended_at = self.ended_at or (self.ends_at if self.ends_at <= now else None)
        if ended_at is None:
            return "at_risk"
        return "lost" if ended_at > first_at else "earlier"

    @property
    def worth(self) -> int:
        is_kept = self.paid_at and self.returned < self.amount
        return self.amount - self.returned if is_kept else self.amount


Action = tuple[datetime, int, str, int]  # time, number to keep the order, what, order


class Month:
    def __init__(self, app: ClientApp, *, orders: int, seed: int = 7) -> None:
        self.app = app
        self.random = random.Random(seed)
        self.books: dict[int, Booked] = {}
        self.types: dict[str, TicketType] = {
            currency: make_ticket_type(
                10 * orders, price=price, currency=currency, event=make_event(hold_minutes=15)
            )
            for currency, price in PRICES.items()
        }
        self.groups: dict[str, int] = {}
        self._reservations: dict[int, Reservation] = {}
        self._payments: dict[int, Payment] = {}
        self._actions = sorted(self._plan(orders))

    def _plan(self, orders: int) -> Iterator[Action]:
        number = 0

        def at(when: datetime, what: str, order: int) -> Action:
            nonlocal number
            number += 1
            return (when, number, what, order)

        length = timedelta(days=DAYS)
        for order in range(orders):
            begins = START + length * self.random.random()
            draw = self.random.random
            yield at(begins, "reserve", order)
            for _ in range(self.random.choice([0, 0, 0, 1, 2])):  # tries that are abandoned
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
                yield at(paid, "pay", order)
                if draw() < 0.08:
                    whole = draw() < 0.5
                    what = "refund all" if whole else "refund some"
                    yield at(paid + timedelta(hours=1 + 60 * draw()), what, order)
            elif draw() < 0.3:
                yield at(begins + timedelta(minutes=12), "cancel", order)
        for hour in range(DAYS * 24):
            yield at(START + timedelta(hours=hour, minutes=30), "clean up", -1)

    def run(self, steps: int) -> Iterator[datetime]:
        """Run the month and yield the time at this many steps of it."""
        size = max(1, len(self._actions) // steps)
        for place, (now, _, what, order) in enumerate(self._actions, 1):
            self._act(what, order, now)
            if place % size == 0 or place == len(self._actions):
                yield now + timedelta(milliseconds=1)

    def _act(self, what: str, order: int, now: datetime) -> None:
        match what:
            case "reserve":
                self._reserve(order, now)
            case "try":
                self._try(order, now)
            case "pay":
                self._pay(order, now)
            case "refund all" | "refund some":
                self._refund(order, whole=what == "refund all", now=now)
            case "cancel":
                self._cancel(order, now)
            case "clean up":
                services.release_expired(now=now)
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
                customer=f"customer-{order % 997}",
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
        return make_payment(
            str(self._reservations[order].uuid),
            app=self.app,
            order_id=booked.order_id,
            amount=booked.amount,
            currency=booked.currency,
            now=now,
            status_at=now,
            **fields,
        )

    def _pay(self, order: int, now: datetime) -> None:
        payment = self._make_payment(order, now)
        services.complete_paid(payment=payment, now=now)
        self._payments[order] = payment
        self.books[order].paid_at = now

    def _refund(self, order: int, *, whole: bool, now: datetime) -> None:
        booked, payment = self.books[order], self._payments[order]
        amount = booked.amount if whole else booked.amount // 3
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

    def _report(self, problem: str, order: int, now: datetime) -> None:
        event = self._error(problem, order, now)
        record_events([event])
        # Ids of events have milliseconds.
        received_at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.books[order].named_at.setdefault(problem, received_at)

    def _error(self, problem: str, order: int, now: datetime) -> NewEvent:
        by = self.random.choice(["order", "order", "reservation"])
        booked = self.books[order]
        named: dict[str, Any] = {"order_ref": booked.order_id}
        if by == "reservation":
            named = {"reservation_ref": str(self._reservations[order].uuid)}
        return new_error(
            self.app, group=problem, received_at=now, occurred_at=now, title=problem, **named
        )

    def expected(self, problem: str, now: datetime) -> dict[str, tuple[int, dict[str, int]]]:
        """Return orders and amounts by state according to the books."""
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
