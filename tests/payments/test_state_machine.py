"""Test that any sequence of requests, crashes, sweeps and webhooks charges the buyer once and loses no charge."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from payments import services, stripe_api
from payments.intents import PAYMENT_METADATA_KEY, Intent
from payments.models import Payment, WebhookEvent
from payments.services import NewPayment
from payments.services.webhooks.process import LEASE
from payments.services.webhooks.receive import record_event
from tests.factories import make_app
from tests.payments.stripe_double import event

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Crash(BaseException):
    """A crash of the process: code after it does not run, and committed changes remain."""


class FakeStripe:
    """An in-memory double with Stripe's guarantees. test_never_twice.py tests the real client against a server."""

    def __init__(self) -> None:
        self.by_key: dict[str, tuple[object, Intent | None]] = {}
        self.intents: dict[str, Intent] = {}
        self.plan = "answer"
        self.now = NOON

    def create_intent(self, *, key: str, **asked: Any) -> Intent:
        plan, self.plan = self.plan, "answer"
        if plan == "crash before":
            raise Crash
        if plan == "lost before":
            raise stripe_api.NoResponse("lost")
        if key not in self.by_key:
            made = None
            if plan != "stored 500":
                made = Intent(
                    id=f"pi_{len(self.intents)}",
                    status="requires_payment_method",
                    amount=asked["amount"],
                    currency=asked["currency"],
                    amount_received=0,
                    created_at=self.now,
                    livemode=False,
                    metadata=asked["metadata"],
                    client_secret="secret",
                )
                self.intents[made.id] = made
            self.by_key[key] = (json.dumps(asked), made)
        same, made = self.by_key[key]
        assert same == json.dumps(asked), "a key was used for another request"
        if plan == "lost after":
            raise stripe_api.NoResponse("lost")
        if plan == "crash after":
            raise Crash
        if made is None:
            raise stripe_api.NoResponse("stored 500", is_replayed=True)
        return made

    def find_intent(
        self,
        payment: uuid.UUID,
        *,
        since: datetime,
        after: str,
        before_page: Callable[[str], None],
    ) -> Intent | None:
        found = [intent for intent in self.intents.values() if intent.payment_uuid == str(payment)]
        return found[0] if found else None

    def retrieve_intent(self, intent_id: str) -> Intent:
        return self.intents[intent_id]


class Shop(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.everything = transaction.atomic()
        self.everything.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.stripe = FakeStripe()
        for name in ("create_intent", "find_intent", "retrieve_intent"):
            self.patch.setattr(stripe_api, name, getattr(self.stripe, name))
        self.patch.setattr(stripe_api, "is_configured", lambda: True)
        self.patch.setattr(stripe_api, "require_ready", lambda: None)
        self.app = make_app()
        self.answers: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.everything.__exit__(None, None, None)
        self.patch.undo()

    @rule(
        key=st.sampled_from(["a", "b"]),
        plan=st.sampled_from(
            ["answer", "lost before", "lost after", "crash before", "crash after", "stored 500"]
        ),
    )
    def a_client_asks(self, key: str, plan: str) -> None:
        self.stripe.plan = plan
        new_payment = NewPayment(amount=2500, currency="EUR", order_id=key)
        try:
            answer = services.create_payment(
                app=self.app, new_payment=new_payment, key=key, now=self.now
            )
        except (Crash, services.StripeUnavailable, services.InProgress):
            return
        finally:
            self.stripe.plan = "answer"
        assert answer.status == 201
        assert self.answers.setdefault(key, answer.body) == answer.body

    @rule(plan=st.sampled_from(["answer", "lost after", "crash after", "stored 500"]))
    def the_sweeper_runs(self, plan: str) -> None:
        self.stripe.plan = plan
        try:
            services.sweep(now=self.now)
        except Crash:
            pass
        finally:
            self.stripe.plan = "answer"

    @rule(seconds=st.sampled_from([1, 31, 61, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.stripe.now += timedelta(seconds=seconds)

    @rule(number=st.integers(0, 3))
    def the_buyer_pays(self, number: int) -> None:
        intent = self.stripe.intents.get(f"pi_{number}")
        if intent is None or intent.status == "succeeded":
            return
        paid = Intent(**{**vars(intent), "status": "succeeded", "amount_received": intent.amount})
        self.stripe.intents[intent.id] = paid
        object_ = {
            "id": paid.id,
            "status": "succeeded",
            "amount": paid.amount,
            "currency": "eur",
            "created": 1,
            "metadata": dict(paid.metadata),
        }
        at = int(self.stripe.now.timestamp())
        self.events.append(event("payment_intent.succeeded", object_, created=at))

    @rule(number=st.integers(0, 3), worker=st.sampled_from(["works", "loses the task", "dies"]))
    def stripe_calls(self, number: int, worker: str) -> None:
        if number < len(self.events):
            told = self.events[number]
            received = record_event(told, endpoint="default", livemode=False, now=self.now)
            if worker == "works":
                services.process_event(event_pk=received.event.pk, now=self.now)
            elif worker == "dies" and received.event.tries < 5:
                # The worker's transaction is rolled back, but its earlier claim stays committed.
                until = self.now + LEASE
                claimed = WebhookEvent.objects.all()
                claimed.claim(received.event.pk, owner="dead", now=self.now, until=until)

    @property
    def now(self) -> datetime:
        return self.stripe.now

    def check(self) -> None:
        """Check that each key has one intent after all retries, and that every payment has the status of its intent."""
        for _ in range(8):
            self.stripe.now += timedelta(minutes=20)
            services.sweep(now=self.now)
        for told in self.events:
            received = record_event(told, endpoint="default", livemode=False, now=self.now)
            services.process_event(event_pk=received.event.pk, now=self.now)
        owners = [intent.metadata[PAYMENT_METADATA_KEY] for intent in self.stripe.intents.values()]
        assert len(owners) == len(set(owners)), "two intents for one payment"
        assert not Payment.objects.unfinished().exists()
        for payment in Payment.objects.all():
            assert payment.intent_id is not None
            assert payment.status == self.stripe.intents[payment.intent_id].status
        assert not WebhookEvent.objects.exclude(state="processed").exists()


class Checked(Shop):
    def teardown(self) -> None:
        try:
            self.check()
        finally:
            super().teardown()


@pytest.mark.slow
@pytest.mark.django_db
def test_no_sequence_of_steps_charges_a_buyer_twice_or_loses_a_charge() -> None:
    run_state_machine_as_test(
        Checked,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
