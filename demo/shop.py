"""Simulate the people and programs of the shop, each in its own loop, with outages at fixed minutes."""

import random
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import sentry_sdk

from demo.bank import Bank
from demo.code import Basket, confirm_order, request_payment, run_buggy_code
from demo.portal import Portal

PAGES = {"/": 420, "/events": 560, "/events/harbour-lights": 610, "/basket": 480, "/checkout": 760}
FUNCTIONS = {"createPaymentIntent": 310, "sendTicketMail": 190, "validateTicket": 45, "search": 80}
GOOD_RELEASE = "shop@2.14.0"
# Maps minutes of a ten-minute cycle to the part of the shop that fails in them.
OUTAGES = {4: "sms", 5: "sms", 7: "checkout", 8: "checkout"}


class Shop:
    """A shop that runs from `open()` to `close()`. It counts its actions in `counts` and prints them once a minute."""

    def __init__(
        self, shop: Portal, gate: Portal, bank: Bank | None, *, buyers_per_usual: float = 1
    ) -> None:
        self.shop, self.gate, self.bank = shop, gate, bank
        self.counts: Counter[str] = Counter()
        self.started = time.monotonic()
        self._stopped = threading.Event()
        # The part that the story breaks ("" for none), or None if no story is running.
        self._directed: str | None = None
        self._signals: list[dict[str, object]] = []
        self._lock = threading.Lock()
        # Orders that the shop names in the errors that it reports.
        self._latest: deque[Basket] = deque(maxlen=20)
        self._interrupted: deque[tuple[dict[str, Any], str]] = deque(maxlen=200)
        self._visitors = [f"visitor-{n}" for n in range(140)]
        self._threads = [
            threading.Thread(target=self._run_every, args=(seconds, actor), daemon=True)
            for seconds, actor in (
                (0.5, self.browse_page),
                (2.0, self.run_functions),
                (4.0, self.send_messages),
                (9.0 / buyers_per_usual, self.buy_tickets),
                (7.0, self.report_error),
                (6.0 / buyers_per_usual, self.return_later),
                (11.0, self.report_gate_error),
                (30.0, self.report_figures),
                (5.0, self.send_signals),
                (60.0, self.print_summary),
            )
        ]

    def open(self) -> None:
        sentry_sdk.init(
            dsn=self.shop.dsn,
            release=GOOD_RELEASE,
            environment="production",
            traces_sample_rate=0.2,
            auto_enabling_integrations=False,
        )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=15)
        sentry_sdk.get_client().close(timeout=2)
        self.shop.close()
        self.gate.close()

    # --- actors -----------------------------------------------------------------------------------------

    def browse_page(self) -> None:
        page = random.choice(list(PAGES))
        slow = 9 if self.outage() == "checkout" and page == "/checkout" else 1
        self.measure("page", page, PAGES[page] * slow)
        self.signal(type="activity", user=random.choice(self._visitors[: self._crowd()]))

    def run_functions(self) -> None:
        for name, usual in FUNCTIONS.items():
            slow = 8 if self.outage() == "checkout" and name == "createPaymentIntent" else 1
            self.measure("function", name, usual * slow, ok=random.random() > 0.01)

    def send_messages(self) -> None:
        for channel, share in (("email", 0.02), ("sms", 0.55 if self.outage() == "sms" else 0.03)):
            self.signal(type="delivery", channel=channel, outcome="sent")
            outcome = "failed" if random.random() < share else "delivered"
            self.signal(type="delivery", channel=channel, outcome=outcome)
            self.counts["messages"] += 1

    def report_figures(self) -> None:
        spent = (time.monotonic() - self.started) / 60
        self.signal(type="gauge", name="credit_balance", value=round(1200 - 3 * spent, 2))
        self.signal(type="counter", name="bandwidth_bytes", value=random.randint(2, 9) * 1_000_000)

    def buy_tickets(self) -> None:
        """Reserve a ticket. Most buyers then pay; some cancel, extend the hold or leave."""
        available = self.shop.get("/api/v1/availability/")
        types = [
            ticket
            for event in (available or {}).get("events", [])
            for ticket in event["ticket_types"]
            if ticket["left"] > 2
        ]
        if not types:
            return
        order = f"order-{uuid.uuid4().hex[:8]}"
        basket = Basket(order, random.choice(self._visitors), {"Day ticket": 1}, "SUMMER24")
        wanted = {
            "items": [{"ticket_type": random.choice(types)["ticket_type"], "quantity": 1}],
            "customer": basket.user_id,
            "order_id": order,
        }
        with sentry_sdk.start_transaction(op="http.server", name="POST /checkout"):
            held = self.shop.post("/api/v1/reservations/", wanted, Idempotency_Key=order)
        if not held:
            return
        self.counts["reservations"] += 1
        self._latest.append(basket)
        failure = {"checkout": request_payment, "release": confirm_order}.get(self.outage())
        if failure:
            self._report(failure, basket, "fatal")
            self._interrupted.append((held, order))
        else:
            self._decide(held, order)

    def _decide(self, held: dict[str, Any], order: str) -> None:
        path, choice = f"/api/v1/reservations/{held['id']}", random.random()
        if choice < 0.75:
            self._pay(held, order)
        elif choice < 0.85:
            self.shop.post(f"{path}/cancel/", {})
        elif choice < 0.92:
            self.shop.post(f"{path}/extend/", {})
        # All other buyers leave without an action, and their hold expires.

    def _pay(self, held: dict[str, Any], order: str) -> None:
        """Create a payment in the portal, pay it at Stripe and send Stripe's event, which completes the reservation."""
        if self.bank is None:
            path = f"/api/v1/reservations/{held['id']}/complete/"
            self.shop.post(path, {"paid_elsewhere": f"cash desk, {order}"})
            return
        body = {
            "amount": held["amount"],
            "currency": held["currency"],
            "order_id": order,
            "reservation_id": held["id"],
        }
        payment = None
        for _ in range(2 if random.random() < 0.15 else 1):  # Some buyers click twice.
            answer = self.shop.post("/api/v1/payments/", body, Idempotency_Key=f"pay-{order}")
            payment = answer or payment
        if not payment:
            return
        choice = random.random()
        if choice < 0.05:
            return  # The buyer does not pay, and the intent stays open.
        paid = choice < 0.92
        event = self.bank.pay(payment["intent"]) if paid else self.bank.decline(payment["intent"])
        for _ in range(2 if random.random() < 0.1 else 1):  # Stripe may send an event twice.
            self.bank.send_event(self.shop.base_url, event)
        self.counts["payments" if paid else "cards declined"] += 1

    def report_error(self) -> None:
        """Run code that has a bug for one of the latest orders, and report the error."""
        if self._latest and random.random() < 0.5:
            self._report(run_buggy_code, random.choice(list(self._latest)))

    def return_later(self) -> None:
        """Let a buyer whose payment failed return. Some of these buyers do not pay, and their hold expires."""
        if self.outage() in ("checkout", "release") or not self._interrupted:
            return
        held, order = self._interrupted.popleft()
        if random.random() < 0.6:
            self._pay(held, order)
            self.counts["buyers who returned"] += 1

    def _report(self, run: Callable[[Basket], object], basket: Basket, level: str = "") -> None:
        """Run code that fails for this basket, and report the error together with the shop's data about the order."""
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": basket.user_id})
            scope.set_tag("function", "checkout")
            scope.set_tag("order_id", basket.order_id)
            if level:
                scope.level = level
            try:
                run(basket)
            except Exception:
                sentry_sdk.capture_exception()
        self.counts["errors"] += 1

    def report_gate_error(self) -> None:
        if random.random() < 0.6:
            return
        number = random.randint(1, 8)
        reported = self.gate.post(
            "/api/v1/errors/",
            {
                "message": f"Gate {number}: ticket could not be read",
                "severity": random.choice(["warning", "warning", "error"]),
                "category": "scanner",
                "function": "validateTicket",
                "environment": "production",
                "release": "gate@0.9.3",
                "user": random.choice(self._visitors),
            },
        )
        self.counts["errors"] += reported is not None

    # --- the story --------------------------------------------------------------------------------------

    @property
    def interrupted_count(self) -> int:
        """Return the number of orders whose payment failed and whose buyers have not decided yet."""
        return len(self._interrupted)

    def direct(self, broken: str | None) -> None:
        """Break one part of the shop until the next call.

        If `broken` is "", no part is broken. If it is None, the usual outages occur again.
        """
        self._directed = broken

    def deploy(self, release: str) -> None:
        """Report the deploy as the shop's CI would, and send events of this release from now on."""
        self.shop.post("/api/v1/deploys/", {"release": release, "environment": "production"})
        sentry_sdk.get_client().options["release"] = release
        self.counts["deploys"] += 1

    # --- helpers ----------------------------------------------------------------------------------------

    def outage(self) -> str:
        """Return the part that is broken now, or "" if none is. If a story is running, the story decides."""
        if self._directed is not None:
            return self._directed
        return OUTAGES.get(int((time.monotonic() - self.started) / 60) % 10, "")

    def measure(self, kind: str, name: str, usual_ms: float, *, ok: bool = True) -> None:
        taken = round(usual_ms * random.lognormvariate(0, 0.35), 1)
        self.signal(type="performance", kind=kind, name=name, duration_ms=taken, ok=ok)

    def signal(self, **signal: object) -> None:
        with self._lock:
            self._signals.append(signal)

    def send_signals(self) -> None:
        with self._lock:
            batch, self._signals = self._signals[:500], self._signals[500:]
        if batch:
            body = {"signals": batch, "batch_id": uuid.uuid4().hex}
            if self.shop.post("/api/v1/signals/", body) is not None:
                self.counts["signals"] += len(batch)

    def print_summary(self) -> None:
        summary = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        outages = {
            "sms": "SMS provider is failing",
            "checkout": "payment provider is slow",
            "release": "bad release",
        }
        outage = outages.get(self.outage(), "no outage")
        print(f"shop: {summary or 'no activity'} ({outage})", flush=True)
        self.counts.clear()

    def _crowd(self) -> int:
        """Return the current number of visitors, which rises and falls over a few minutes."""
        return 30 + int(25 * (1 + random.random()) * (0.5 + (time.monotonic() / 240) % 1))

    def _run_every(self, seconds: float, actor: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds * random.uniform(0.6, 1.4)):
            with _print_errors(actor.__name__):
                actor()


@contextmanager
def _print_errors(name: str) -> Any:
    """Print an exception of the simulation instead of ending the actor's thread."""
    try:
        yield
    except Exception as error:
        print(f"shop: {name} failed: {type(error).__name__}: {error}", flush=True)
