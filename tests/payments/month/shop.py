"""Run the shop, with the portal's jobs, Stripe's deliveries, an outage, and staff who resolve cases every morning."""

import random
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from alerts.services import evaluate_rule
from core.lib.outbound import breaker
from payments import services, stripe_api
from payments.models import Mismatch, Payment, Refund, WebhookEvent
from payments.services.disputes import watch_deadlines
from payments.services.refund import sweep_refunds
from payments.services.webhooks.receive import record_event
from reservations import services as reservations
from reservations.models import Discrepancy
from tests.payments.month.buyers import Buyers
from tests.payments.month.clock import HOUR, MINUTE, Clock
from tests.payments.stripe_double import Fault, StripeDouble

OUTAGE = timedelta(hours=5)
# The rules about money and holds. The rule about low stock is left out, because low stock is not a fault.
RULES = (
    "payments.failed_debits",
    "payments.stuck",
    "payments.webhook_lag",
    "reservations.overdue_holds",
    "reservations.processing_too_long",
)


class Shop:
    def __init__(
        self, double: StripeDouble, *, start: datetime, tick: timedelta, seed: int = 1
    ) -> None:
        assert double.account is not None
        self.double, self.account = double, double.account
        self.clock = Clock(start, tick)
        self.account.clock = self.clock.timestamp
        self.random = random.Random(seed)
        self.buyers = Buyers(double, self.clock)
        self.outage_from: datetime | None = None
        self.outage_until: datetime | None = None
        self.calm_from = start
        self.unexpected: list[str] = []
        self._seen_events = 0

    def run(self, until: datetime) -> None:
        """Advance the time tick by tick until `until`, and run the portal's jobs in each tick."""
        while self.clock.now < until:
            for _ in self.clock.run_tick():
                self._schedule_deliveries()
            self._run_jobs()

    def _run_jobs(self) -> None:
        if self.outage_until is not None and self.clock.now >= self.outage_until:
            self.outage_until = None
            self.double.faults.clear()
        breaker.reset_all()  # Close the circuit breaker, whose pauses elapse in real time instead of the shop's.
        services.process_waiting(now=self.clock.now)
        services.sweep(now=self.clock.now)
        sweep_refunds(now=self.clock.now)
        reservations.release_expired(now=self.clock.now)
        minute = self.clock.now.minute
        try:
            if minute % 15 == 0:
                services.reconcile(now=self.clock.now)
            if (self.clock.now.hour, minute) == (3, 15):
                services.reconcile(now=self.clock.now, is_full=True)
            services.continue_reconciliation(now=self.clock.now)
        except stripe_api.NoResponse:
            assert self.outage_until is not None
        if minute == 0:
            watch_deadlines(now=self.clock.now)
            self._check()
        if (self.clock.now.hour, minute) == (9, 0):
            self.put_right()
        for rule in RULES:
            evaluate_rule(rule, now=self.clock.now)
        self._schedule_deliveries()

    def start_outage(self) -> None:
        """Make Stripe's API respond to every request with 500 until OUTAGE has passed."""
        self.outage_from, self.outage_until = self.clock.now, self.clock.now + OUTAGE
        # Payments from the outage may stay stuck for longer, because the sweeper retries with a delay of up to 15
        # minutes.
        self.calm_from = self.outage_until + HOUR
        for writes in (True, False):
            self.double.faults.append(Fault("status", 500, path="/v1", writes=writes, times=10**9))

    def _schedule_deliveries(self) -> None:
        new, self._seen_events = self.account.events[self._seen_events :], len(self.account.events)
        for event in new:
            order = self.buyers.find(_intent_of(event))
            fault = order.fault if order else ""
            if fault == "events lost":
                continue
            if fault == "unreadable event" and event["type"] == "payment_intent.succeeded":
                broken = {**event, "id": f"{event['id']}x", "data": {"object": {"id": "pi_x"}}}
                self.clock.at(MINUTE, partial(self.deliver, broken))
            copies = 3 if fault == "events shuffled and repeated" else 1
            for _ in range(copies):
                spread = 600 if fault == "events shuffled and repeated" else 20
                delay = timedelta(seconds=self.random.uniform(1, spread))
                self.clock.at(delay, partial(self.deliver, event))

    def deliver(self, event: dict[str, Any]) -> None:
        received = record_event(event, endpoint="default", livemode=False, now=self.clock.now)
        services.process_event(event_pk=received.event.pk, now=self.clock.now)

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
                    user=self.buyers.staff,
                    now=self.clock.now,
                )
            else:
                self.buyers.refund(case.payment, Refund.Seats.UNDECIDED)
        for mismatch in Mismatch.objects.open().select_related("payment"):
            if mismatch.payment is None:
                if not self.account.charges[
                    self.account.intents[mismatch.intent_id]["latest_charge"]
                ]["refunded"]:
                    self.account.refund(mismatch.intent_id)
            elif mismatch.payment.refundable:
                self.buyers.refund(mismatch.payment, Refund.Seats.RELEASE)
        for event in WebhookEvent.objects.dead():
            services.ignore_event(event, now=self.clock.now)

    def _check(self) -> None:
        """Record stuck payments as unexpected unless an outage explains them."""
        if self.clock.now >= self.calm_from:
            for payment in Payment.objects.stuck(self.clock.now - HOUR):
                self.unexpected.append(f"{self.clock.now}: stuck payment {payment.pk}")


def _intent_of(event: dict[str, Any]) -> str:
    object_ = event["data"]["object"]
    return str(object_.get("payment_intent") or object_["id"])
