"""A shop for a while, with its time compressed: orders, the portal's jobs, staff every morning, and injected faults.

Every fault has exactly one case, or none if the portal puts it right without help; nothing else has a case or an alert;
every case ends when staff put it right. `python -m bench.shop_month` runs a month of it.
"""

import heapq
import itertools
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.models import User

from alerts.models import SystemAlert
from core.clients.models import ClientApp
from core.lib.outbound import breaker
from payments import services, stripe_api
from payments.models import Dispute, Mismatch, Payment, Refund, WebhookEvent
from payments.services.disputes import watch_deadlines
from payments.services.refund import sweep_refunds
from payments.services.webhooks.receive import record_event
from reservations import services as reservations
from reservations.models import Discrepancy, Event, Reservation, TicketType
from reservations.queries.drift import find_drift
from tests.payments.stripe_double import Fault, StripeDouble

PRICE = 2500
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AFTERMATH_DAYS = 7  # without new orders; everything must end in them
OUTAGE = timedelta(hours=5)

# What may go wrong with an order, and the one case that it must lead to ("" for none).
FAULTS: dict[str, str] = {
    "response lost": "",
    "killed while creating": "",
    "events lost": "",
    "events shuffled and repeated": "",
    "unreadable event": "",  # an alert about the event, no case of the order
    "paid late": "",
    "paid late, sold out": Discrepancy.Kind.SOLD_OUT,
    "paid twice": Discrepancy.Kind.SECOND_PAYMENT,
    "captured in part": Discrepancy.Kind.AMOUNT,
    "bank debit": "",
    "bank debit fails": "",
    "refunded by staff": "",
    "refunded at Stripe": Discrepancy.Kind.SEAT_WITHOUT_MONEY,
    "refund fails": Mismatch.Kind.REFUND_FAILED,
    "refund request lost": Mismatch.Kind.REFUND_FAILED,
    "refund response lost": "",
    "dispute won": "",
    "dispute lost": Discrepancy.Kind.DISPUTE_LOST,
    "inquiry": "",
    "unknown here": Mismatch.Kind.MISSING,
}
GAVE_UP = "gave up during the outage"
# Alerts of these types are about the portal's connection and not about one order.
CONNECTION_ALERTS = {"webhooks-missing"}


@dataclass
class Order:
    number: int
    fault: str
    reservation: Reservation
    payment: Payment | None = None
    intent_ids: set[str] = field(default_factory=set)
    is_over: bool = False


class Shop:
    """The shop, its buyers and staff, the bank, and the clock."""

    def __init__(
        self, double: StripeDouble, *, start: datetime, tick: timedelta, seed: int = 1
    ) -> None:
        assert double.account is not None
        self.double, self.account = double, double.account
        self.now, self.tick = start, tick
        self.account.clock = self._timestamp
        self.random = random.Random(seed)
        self.app = ClientApp.objects.create(slug="shop", name="Shop")
        self.staff = User.objects.create(username="staff")
        self.event = Event.objects.create(slug="night", name="Night")
        self.standing = TicketType.objects.create(
            event=self.event, name="Standing", capacity=1_000_000, price=PRICE
        )
        self.orders: list[Order] = []
        self.outage_until: datetime | None = None
        self.calm_from = start
        self.unexpected: list[str] = []
        self._agenda: list[tuple[datetime, int, Callable[[], object]]] = []
        self._tie = itertools.count()
        self._seen_events = 0

    def _timestamp(self) -> float:
        return self.now.timestamp()

    # --- time ---------------------------------------------------------------------------------------------

    def at(self, delay: timedelta, action: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._tie), action))

    def run(self, until: datetime) -> None:
        """Let the time pass; the portal's jobs run once in each tick."""
        ends = self.now
        while ends < until:
            ends += self.tick
            while self._agenda and self._agenda[0][0] <= ends:
                self.now, _, action = heapq.heappop(self._agenda)
                self._take(action)
                self._schedule_deliveries()
            self.now = ends
            self._run_jobs()

    def _take(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (services.StripeUnavailable, services.InProgress):
            self.at(10 * MINUTE, action)  # the buyer's browser tries again

    def _run_jobs(self) -> None:
        if self.outage_until is not None and self.now >= self.outage_until:
            self.outage_until = None
            self.double.faults.clear()
        breaker.reset_all()  # its pause is measured in real seconds
        services.process_waiting(now=self.now)
        services.sweep(now=self.now)
        sweep_refunds(now=self.now)
        reservations.release_expired(now=self.now)
        minute = self.now.minute
        try:
            if minute % 15 == 0:
                services.reconcile(now=self.now)
            if (self.now.hour, minute) == (3, 15):
                services.reconcile(now=self.now, is_full=True)
            services.continue_reconciliation(now=self.now)
        except stripe_api.NoResponse:
            assert self.outage_until is not None
        if minute == 0:
            watch_deadlines(now=self.now)
            self._check()
        if (self.now.hour, minute) == (9, 0):
            self.put_right()
        self._schedule_deliveries()

    def start_outage(self) -> None:
        """Let Stripe's API answer nothing but 500 for hours."""
        self.outage_until = self.now + OUTAGE
        # The sweeper retries with a delay of up to 15 minutes, so payments of the outage may take that long afterwards.
        self.calm_from = self.outage_until + HOUR
        for writes in (True, False):
            self.double.faults.append(Fault("status", 500, path="/v1", writes=writes, times=10**9))

    # --- Stripe's events -------------------------------------------------------------------------------------

    def _schedule_deliveries(self) -> None:
        new, self._seen_events = self.account.events[self._seen_events :], len(self.account.events)
        for event in new:
            order = self._order_of(event)
            fault = order.fault if order else ""
            if fault == "events lost":
                continue
            if fault == "unreadable event" and event["type"] == "payment_intent.succeeded":
                broken = {**event, "id": f"{event['id']}x", "data": {"object": {"id": "pi_x"}}}
                self.at(MINUTE, partial(self.deliver, broken))
            copies = 3 if fault == "events shuffled and repeated" else 1
            for _ in range(copies):
                spread = 600 if fault == "events shuffled and repeated" else 20
                delay = timedelta(seconds=self.random.uniform(1, spread))
                self.at(delay, partial(self.deliver, event))

    def deliver(self, event: dict[str, Any]) -> None:
        received = record_event(event, endpoint="default", livemode=False, now=self.now)
        services.process_event(event_pk=received.event.pk, now=self.now)

    def _order_of(self, event: dict[str, Any]) -> Order | None:
        object_ = event["data"]["object"]
        intent_id = object_.get("payment_intent") or object_["id"]
        return next((one for one in self.orders if intent_id in one.intent_ids), None)

    # --- orders ----------------------------------------------------------------------------------------------

    def take_order(self, fault: str) -> None:
        type_ = self.standing
        if fault == "paid late, sold out":
            name = f"Single {len(self.orders)}"
            type_ = TicketType.objects.create(event=self.event, name=name, capacity=1, price=PRICE)
        wanted = reservations.Wanted(
            items=((type_.pk, 1),), customer="", order_id="", key=uuid.uuid4().hex, fingerprint="-"
        )
        made = reservations.reserve(app=self.app, wanted=wanted, now=self.now).reservation
        order = Order(len(self.orders), fault, made)
        self.orders.append(order)
        key = f"key-{order.number}"
        if fault == "response lost":
            self.double.faults.insert(0, Fault("drop_after", times=2))
        if fault == "killed while creating":
            self._die_while_creating(order, key)
        self.at(timedelta(0), lambda: self.create(order, key))

    def create(self, order: Order, key: str) -> None:
        """Ask for the payment; a lost response is repeated with the same key."""
        new_payment = services.NewPayment(
            amount=PRICE, currency="EUR", reservation_id=str(order.reservation.uuid)
        )
        try:
            services.create_payment(app=self.app, new_payment=new_payment, key=key, now=self.now)
        except services.NotPayable:  # the hold expired while Stripe did not respond
            order.fault = GAVE_UP
            return
        payment = Payment.objects.get(key=key)
        order.intent_ids.add(payment.intent_id or "")
        first, order.payment = order.payment, order.payment or payment
        self.at(5 * MINUTE, lambda: self.pay(order, payment.intent_id or ""))
        if order.fault == "paid twice" and first is None:
            self.at(MINUTE, lambda: self.create(order, f"{key}-again"))

    def _die_while_creating(self, order: Order, key: str) -> None:
        class Killed(Exception):
            pass

        def die(**_: Any) -> None:
            raise Killed

        create_intent, stripe_api.create_intent = stripe_api.create_intent, die  # type: ignore[assignment]
        try:
            self.create(order, key)
        except Killed:
            Payment.objects.filter(key=key).update(locked_until=self.now + 2 * MINUTE)
        finally:
            stripe_api.create_intent = create_intent

    def pay(self, order: Order, intent_id: str) -> None:
        pay = partial(self.account.pay, intent_id)
        match order.fault:
            case "paid late" | "paid late, sold out":
                self.at(20 * MINUTE, lambda: self._snatch(order))
                self.at(30 * MINUTE, pay)
            case "captured in part":
                self.account.authorize(intent_id)
                self.at(HOUR, lambda: self.account.capture(intent_id, 1000))
            case "bank debit":
                self.account.start_debit(intent_id)
                self.at(2 * DAY, pay)
            case "bank debit fails":
                self.account.start_debit(intent_id)
                self.at(2 * DAY, lambda: self.account.decline(intent_id))
            case "unknown here":
                pay()
                assert order.payment is not None
                order.payment.timeline.all().delete()
                order.payment.delete()  # as after the restore of an older backup
            case _:
                pay()
                self.at(HOUR, lambda: self.go_on(order, intent_id))

    def _snatch(self, order: Order) -> None:
        """Let another buyer take the seat of an expired hold, if there is only one."""
        line = order.reservation.lines.get()
        if line.ticket_type_id == self.standing.pk:
            return
        wanted = reservations.Wanted(
            items=((line.ticket_type_id, 1),),
            customer="",
            order_id="",
            key=uuid.uuid4().hex,
            fingerprint="-",
        )
        other = reservations.reserve(app=self.app, wanted=wanted, now=self.now).reservation
        reservations.complete(reservation=other, paid_elsewhere="desk", now=self.now)

    def go_on(self, order: Order, intent_id: str) -> None:
        """Do what happens to some orders after they are paid."""
        payment = Payment.objects.get(intent_id=intent_id)
        match order.fault:
            case "refunded by staff":
                self.refund(payment, Refund.Seats.RELEASE)
            case "refunded at Stripe":
                self.account.refund(intent_id)
            case "refund fails":
                made = self.refund(payment, Refund.Seats.RELEASE)
                self.at(2 * DAY, lambda: self._fail_refund(made))
            case "refund request lost":
                self._lose("drop_before")
                asked = self.refund(payment, Refund.Seats.RELEASE)
                # Nothing gets through for a day: the requests of the sweeper are lost as well.
                Refund.objects.filter(pk=asked.pk).update(asked_at=self.now - DAY)
            case "refund response lost":
                self._lose("drop_after")
                self.refund(payment, Refund.Seats.RELEASE)
            case "dispute won" | "dispute lost":
                [opened, *_] = self.account.dispute(intent_id)
                id_ = opened["data"]["object"]["id"]
                self.at(DAY, lambda: self.account.send_evidence(id_))
                outcome = order.fault.removeprefix("dispute ")
                self.at(4 * DAY, lambda: self.account.close_dispute(id_, outcome))
            case "inquiry":
                [opened] = self.account.dispute(intent_id, is_inquiry=True)
                id_ = opened["data"]["object"]["id"]
                self.at(3 * DAY, lambda: self.account.close_dispute(id_, "warning_closed"))

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
            now=self.now,
        )

    # --- staff -------------------------------------------------------------------------------------------------

    def put_right(self) -> None:
        """Work through the open cases, as staff do every morning."""
        if self.outage_until is not None:
            return
        for case in Discrepancy.objects.open().select_related("payment"):
            if case.keeps_seats:
                reservations.settle(
                    discrepancy=case,
                    settlement="released",
                    release_seats=True,
                    user=self.staff,
                    now=self.now,
                )
            else:
                self.refund(case.payment, Refund.Seats.UNDECIDED)
        for mismatch in Mismatch.objects.open().select_related("payment"):
            if mismatch.payment is None:
                if not self.account.charges[
                    self.account.intents[mismatch.intent_id]["latest_charge"]
                ]["refunded"]:
                    self.account.refund(mismatch.intent_id)
            elif mismatch.payment.refundable:
                self.refund(mismatch.payment, Refund.Seats.RELEASE)
        for event in WebhookEvent.objects.dead():
            services.ignore_event(event, now=self.now)

    # --- what must hold -------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Note stuck payments and alerts that no fault explains."""
        faulty = {str(one.reservation.uuid) for one in self.orders if one.fault}
        if self.now >= self.calm_from:
            for payment in Payment.objects.stuck(self.now - HOUR):
                self.unexpected.append(f"{self.now}: stuck payment {payment.pk}")
        for alert in SystemAlert.objects.active().exclude(alert_type__in=CONNECTION_ALERTS):
            if not faulty:
                self.unexpected.append(f"{self.now}: {alert.title}")

    def report(self) -> "Report":
        """Compare the cases with the injected faults."""
        cases: dict[int, list[str]] = {}
        by_intent = {id_: one for one in self.orders for id_ in one.intent_ids}
        found = [
            *Discrepancy.objects.values_list("payment__intent_id", "kind"),
            *Mismatch.objects.filter(healed=False).values_list("intent_id", "kind"),
        ]
        unknown = []
        for intent_id, kind in found:
            order = by_intent.get(intent_id or "")
            if order is None:
                unknown.append(f"{kind} of {intent_id}")
            else:
                cases.setdefault(order.number, []).append(kind)
        wrong = [
            f"{one.fault or 'no fault'}: expected {FAULTS.get(one.fault) or 'no case'}, got {got}"
            for one in self.orders
            if (got := cases.get(one.number, []))
            != [kind for kind in [FAULTS.get(one.fault)] if kind]
        ]
        open_ = [
            *map(str, Discrepancy.objects.open()),
            *map(str, Mismatch.objects.open()),
            *map(str, SystemAlert.objects.active().values_list("title", flat=True)),
            *map(str, Dispute.objects.open()),
            *map(str, WebhookEvent.objects.dead()),
            *map(str, find_drift()),
        ]
        return Report(
            orders=len(self.orders),
            faults=Counter(one.fault for one in self.orders if one.fault),
            cases=Counter(kind for _, kind in found),
            alerts=Counter(SystemAlert.objects.values_list("alert_type", flat=True)),
            wrong=[*unknown, *wrong, *self.unexpected],
            open=open_,
        )


@dataclass(frozen=True)
class Report:
    orders: int
    faults: Counter[str]
    cases: Counter[str]
    alerts: Counter[str]
    wrong: list[str]  # cases without a fault, faults without their case, unexplained alerts
    open: list[str]  # what has not ended


def run_shop(
    double: StripeDouble,
    *,
    start: datetime,
    days: int,
    orders_per_day: int,
    fault_share: float,
    tick: timedelta = 5 * MINUTE,
    outage_after: timedelta | None = None,
    seed: int = 1,
) -> Report:
    """Run the shop for some days, then a week without new orders, in which everything must end."""
    shop = Shop(double, start=start, tick=tick, seed=seed)
    plan = plan_faults(days * orders_per_day, fault_share, shop.random)
    for number, fault in enumerate(plan):
        delay = DAY * (number / orders_per_day)
        shop.at(delay, partial(shop.take_order, fault))
    shop.at(outage_after or DAY * (days / 2), shop.start_outage)
    shop.run(start + DAY * (days + AFTERMATH_DAYS))
    return shop.report()


def plan_faults(count: int, share: float, random_: random.Random) -> list[str]:
    """Return the fault of each order: `share` of the orders, at least one, has each kind of fault."""
    each = max(1, round(count * share))
    plan = [fault for fault in FAULTS for _ in range(each)]
    plan += [""] * (count - len(plan))
    random_.shuffle(plan)
    return plan
