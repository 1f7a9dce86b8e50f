"""Thousands of webhooks: duplicates, shuffled, poisoned, their workers killed. `STORM_EVENTS=10000` for the full size."""

import os
import random
import time

import pytest
from django.utils import timezone

from payments import services
from payments.models import Payment, WebhookEvent
from payments.services.receive import record_event
from reservations.models import Reservation, Status, TicketType
from reservations.services import find_drift, reserve
from tests import subprocesses
from tests.factories import make_app, make_payment, make_ticket_type, wanted
from tests.payments.stripe_double import StripeDouble, event

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = int(os.environ.get("STORM_EVENTS", "150"))
KILLS = 2


def test_each_effect_happens_once_none_is_lost_and_poison_is_visible(stripe: StripeDouble) -> None:
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

    for delivery in deliveries:
        record_event(delivery, endpoint="default", livemode=False, now=timezone.now())

    assert WebhookEvent.objects.count() == len(told) + len(poison)
    assert sum(WebhookEvent.objects.values_list("deliveries", flat=True)) == len(deliveries)
    for _ in range(KILLS):
        worker = subprocesses.start("tests.payments.storm")
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
        before = WebhookEvent.objects.waiting().count()
        end = time.monotonic() + 20
        while WebhookEvent.objects.waiting().count() > before * 0.8 and time.monotonic() < end:
            time.sleep(0.01)
        worker.kill()
        worker.communicate()
    worker = subprocesses.start("tests.payments.storm")
    end = time.monotonic() + 30 + EVENTS / 20
    while WebhookEvent.objects.waiting().exists() and time.monotonic() < end:
        time.sleep(0.05)
    worker.communicate("end\n", timeout=60)

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
