"""The people and programs of the shop. Each actor is a loop with a pulse; trouble comes and goes by the clock."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import sentry_sdk

from demo.bank import Bank
from demo.code import Basket, ask_for_payment, something_that_fails
from demo.portal import Portal

PAGES = {"/": 420, "/events": 560, "/events/harbour-lights": 610, "/basket": 480, "/checkout": 760}
FUNCTIONS = {"createPaymentIntent": 310, "sendTicketMail": 190, "validateTicket": 45, "search": 80}
# Trouble by the minute of a ten-minute round: quiet most of the time, then one thing goes wrong.
TROUBLE = {4: "sms", 5: "sms", 7: "checkout", 8: "checkout"}


class Shop:
    """Runs until `close()`. `said` counts what it did, for one line a minute."""

    def __init__(self, shop: Portal, gate: Portal, bank: Bank | None) -> None:
        self.shop, self.gate, self.bank = shop, gate, bank
        self.said: Counter[str] = Counter()
        self.started = time.monotonic()
        self._ending = threading.Event()
        self._signals: list[dict[str, object]] = []
        self._lock = threading.Lock()
        self._visitors = [f"visitor-{n}" for n in range(140)]
        self._threads = [
            threading.Thread(target=self._every, args=(seconds, act), daemon=True)
            for seconds, act in (
                (0.5, self.someone_browses),
                (2.0, self.functions_run),
                (4.0, self.messages_go_out),
                (9.0, self.someone_buys),
                (7.0, self.something_breaks),
                (11.0, self.a_gate_reports),
                (30.0, self.figures),
                (5.0, self.send_signals),
                (60.0, self.tell),
            )
        ]

    def open(self) -> None:
        sentry_sdk.init(
            dsn=self.shop.dsn,
            release="shop@2.14.0",
            environment="production",
            traces_sample_rate=0.2,
            send_default_pii=False,
            auto_enabling_integrations=False,
        )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ending.set()
        sentry_sdk.get_client().close(timeout=2)
        self.shop.close()
        self.gate.close()

    # --- what happens ---------------------------------------------------------------------------------

    def someone_browses(self) -> None:
        page = random.choice(list(PAGES))
        slow = 9 if self.trouble() == "checkout" and page == "/checkout" else 1
        self.measure("page", page, PAGES[page] * slow)
        self.signal(type="activity", user=random.choice(self._visitors[: self._crowd()]))

    def functions_run(self) -> None:
        for name, usual in FUNCTIONS.items():
            slow = 8 if self.trouble() == "checkout" and name == "createPaymentIntent" else 1
            self.measure("function", name, usual * slow, ok=random.random() > 0.01)

    def messages_go_out(self) -> None:
        for channel, share in (("email", 0.02), ("sms", 0.55 if self.trouble() == "sms" else 0.03)):
            self.signal(type="delivery", channel=channel, outcome="sent")
            outcome = "failed" if random.random() < share else "delivered"
            self.signal(type="delivery", channel=channel, outcome=outcome)
            self.said["messages"] += 1

    def figures(self) -> None:
        spent = (time.monotonic() - self.started) / 60
        self.signal(type="gauge", name="credit_balance", value=round(1200 - 3 * spent, 2))
        self.signal(type="counter", name="bandwidth_bytes", value=random.randint(2, 9) * 1_000_000)

    def someone_buys(self) -> None:
        """Look, reserve, and then: most complete, some leave, some change their mind."""
        offered = self.shop.get("/api/v1/availability/")
        types = [
            ticket
            for event in (offered or {}).get("events", [])
            for ticket in event["ticket_types"]
            if ticket["left"] > 2
        ]
        if not types:
            return
        order = f"order-{uuid.uuid4().hex[:8]}"
        wanted = {
            "items": [{"ticket_type": random.choice(types)["ticket_type"], "quantity": 1}],
            "customer": random.choice(self._visitors),
            "order_id": order,
        }
        with sentry_sdk.start_transaction(op="http.server", name="POST /checkout"):
            held = self.shop.post("/api/v1/reservations/", wanted, Idempotency_Key=order)
        if not held:
            return
        self.said["reservations"] += 1
        self._decide(held, order)

    def _decide(self, held: dict[str, Any], order: str) -> None:
        path, mind = f"/api/v1/reservations/{held['id']}", random.random()
        if mind < 0.75:
            self._pay(held, order)
        elif mind < 0.85:
            self.shop.post(f"{path}/cancel/", {})
        elif mind < 0.92:
            self.shop.post(f"{path}/extend/", {})
        # else: they close the window, and the hold expires by itself

    def _pay(self, held: dict[str, Any], order: str) -> None:
        """The portal asks Stripe for an intent; the buyer pays there; Stripe tells the portal, which completes the hold."""
        if self.bank is None:
            path = f"/api/v1/reservations/{held['id']}/complete/"
            self.shop.post(path, {"paid_elsewhere": f"cash desk, {order}"})
            return
        asked = {
            "amount": held["amount"],
            "currency": held["currency"],
            "order_id": order,
            "reservation_id": held["id"],
        }
        payment = None
        for _ in range(2 if random.random() < 0.15 else 1):  # some click twice; that charges once
            answer = self.shop.post("/api/v1/payments/", asked, Idempotency_Key=f"pay-{order}")
            payment = answer or payment
        if not payment:
            return
        mind = random.random()
        if mind < 0.05:
            return  # they think about it, and the intent stays open
        paid = mind < 0.92
        event = self.bank.pay(payment["intent"]) if paid else self.bank.decline(payment["intent"])
        for _ in range(2 if random.random() < 0.1 else 1):  # Stripe sends an event more than once
            self.bank.tell(self.shop.base_url, event)
        self.said["payments" if paid else "cards declined"] += 1

    def something_breaks(self) -> None:
        busy = self.trouble() == "checkout"
        if not busy and random.random() < 0.5:
            return
        user = random.choice(self._visitors)
        basket = Basket(f"order-{random.randint(1000, 9999)}", user, {"Day ticket": 2}, "SUMMER24")
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": user})
            scope.set_tag("function", "checkout")
            scope.set_tag("order_id", basket.order_id)
            try:
                if busy:
                    ask_for_payment(basket)
                something_that_fails(basket)
            except TimeoutError:
                scope.level = "fatal"
                sentry_sdk.capture_exception()
            except Exception:
                sentry_sdk.capture_exception()
        self.said["errors"] += 1

    def a_gate_reports(self) -> None:
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
        self.said["errors"] += reported is not None

    # --- helpers ----------------------------------------------------------------------------------------

    def trouble(self) -> str:
        return TROUBLE.get(int((time.monotonic() - self.started) / 60) % 10, "")

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
                self.said["signals"] += len(batch)

    def tell(self) -> None:
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.said.items()))
        going_on = {"sms": "SMS provider fails", "checkout": "payment provider is slow"}
        trouble = going_on.get(self.trouble(), "nothing special")
        print(f"shop: {told or 'nothing yet'} ({trouble})", flush=True)
        self.said.clear()

    def _crowd(self) -> int:
        """How many visitors there are just now: they come and go over a few minutes."""
        return 30 + int(25 * (1 + random.random()) * (0.5 + (time.monotonic() / 240) % 1))

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while not self._ending.wait(seconds * random.uniform(0.6, 1.4)):
            with _going_on(act.__name__):
                act()


@contextmanager
def _going_on(name: str) -> Any:
    """A bug in the simulation is told and does not end it."""
    try:
        yield
    except Exception as error:
        print(f"shop: {name} stumbled: {type(error).__name__}: {error}", flush=True)
