"""Test that many duplicated and shuffled events each take effect once, even if workers are killed.

The suite uses few events. `STORM_EVENTS=10000` sets the full number.
"""

import os
import random
import subprocess
import time

import pytest
from django.utils import timezone

from payments import services
from payments.models import Payment, WebhookEvent
from payments.services.webhooks.receive import record_event
from reservations.models import Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from reservations.services import reserve
from tests import subprocesses
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_double import StripeDouble, event

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = int(os.environ.get("STORM_EVENTS", "150"))
WORKERS = 2
PIECES = max(2, EVENTS // 500)


class Crowd:
    """Concurrent workers, which tests kill from time to time and replace by new ones."""

    def __init__(self) -> None:
        self.workers = [self._start() for _ in range(WORKERS)]
        self.kills = 0

    def _start(self) -> "subprocess.Popen[str]":
        worker = subprocesses.start("tests.payments.storm")
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
        return worker

    def kill_one_at_work(self) -> None:
        before = WebhookEvent.objects.waiting().count()
        end = time.monotonic() + 60
        while before and WebhookEvent.objects.waiting().count() == before:
            assert time.monotonic() < end, "no worker processes events"
            time.sleep(0.005)
        victim = self.workers.pop(0)
        victim.kill()
        victim.communicate()
        assert victim.returncode == -9
        self.kills += 1
        self.workers.append(self._start())

    def end(self) -> None:
        for worker in self.workers:
            worker.communicate("end\n", timeout=60)


@pytest.mark.slow
def test_each_event_takes_effect_once_and_unreadable_ones_are_dead(stripe: StripeDouble) -> None:
    standing, app = make_ticket_type(100_000), make_app()
    distinct = EVENTS * 7 // 10
    payments, told = [], []
    for number in range(distinct // 2):
        made = reserve(app=app, wanted=wanted((standing, 1)), now=timezone.now())
        payment = make_payment(
            str(made.reservation.uuid), app=app, status="requires_payment_method"
        )
        payments.append(payment)
        for status in ("processing", "succeeded"):
            object_ = {
                "id": payment.intent_id,
                "amount": payment.amount,
                "currency": "eur",
                "status": status,
                "created": 1,
            }
            told.append(event(f"payment_intent.{status}", object_, created=1000 + number))
            told[-1]["created"] += status == "succeeded"
    poison = [
        event("payment_intent.succeeded", {"id": f"pi_poison_{n}", "amount": "?"})
        for n in range(max(1, EVENTS // 100))
    ]
    shuffler = random.Random(7)
    deliveries = told + poison
    deliveries += shuffler.choices(deliveries, k=EVENTS - len(deliveries))
    shuffler.shuffle(deliveries)

    crowd = Crowd()
    pieces = [deliveries[start::PIECES] for start in range(PIECES)]
    for piece in pieces:  # Events arrive while workers process earlier events and are killed.
        for delivery in piece:
            record_event(delivery, endpoint="default", livemode=False, now=timezone.now())
        crowd.kill_one_at_work()
    assert WebhookEvent.objects.count() == len(told) + len(poison)
    assert sum(WebhookEvent.objects.values_list("deliveries", flat=True)) == len(deliveries)
    end = time.monotonic() + 60 + EVENTS / 20
    while WebhookEvent.objects.waiting().exists() and time.monotonic() < end:
        if EVENTS > 1000:
            crowd.kill_one_at_work()
        time.sleep(0.05)
    crowd.end()

    dead = WebhookEvent.objects.dead()
    assert {one.event_id for one in dead} == {one["id"] for one in poison}
    assert WebhookEvent.objects.filter(state="processed").count() == len(told)
    assert Payment.objects.succeeded().count() == len(payments)
    assert Reservation.objects.filter(status=Status.COMPLETED).count() == len(payments)
    assert find_drift() == []
    assert TicketType.objects.get().sold == len(payments)

    first = dead.order_by("pk")[0]
    assert services.replay_event(first, now=timezone.now())
    first.refresh_from_db()
    assert first.state == "pending"
