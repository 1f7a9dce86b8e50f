"""Test that double clicks, network retries and crashes lead to a single intent at Stripe and identical responses."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from core.clients.models import ClientApp
from payments import services
from payments.models import Payment
from payments.services import StoredResponse
from tests import subprocesses
from tests.factories import make_app
from tests.payments.dying import NEW_PAYMENT
from tests.payments.stripe_double import Fault, StripeDouble

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def create(app: ClientApp, key: str = "k", *, after: float = 0) -> StoredResponse:
    now = timezone.now() + timedelta(seconds=after)
    return services.create_payment(app=app, new_payment=NEW_PAYMENT, key=key, now=now)


def in_threads(count: int, call: Callable[[], StoredResponse]) -> list[StoredResponse | Exception]:
    barrier = threading.Barrier(count)

    def run(_: int) -> StoredResponse | Exception:
        try:
            barrier.wait(60)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_50_simultaneous_requests_with_one_key_create_one_intent(
    stripe: StripeDouble, app: ClientApp
) -> None:
    stripe.faults.append(Fault("delay", 0.3))

    outcomes = in_threads(50, lambda: create(app))

    kinds = Counter(type(outcome).__name__ for outcome in outcomes)
    assert set(kinds) <= {"StoredResponse", "InProgress"}
    answers = [outcome for outcome in outcomes if isinstance(outcome, StoredResponse)]
    assert [answer.is_replay for answer in answers].count(False) == 1
    assert len(stripe.intents()) == 1
    assert stripe.calls["POST /v1/payment_intents"] == 1
    payment = Payment.objects.get()
    assert payment.duplicates_prevented == 49
    assert create(app).body == answers[0].body


def test_50_repeats_after_the_lease_still_create_one_intent(
    stripe: StripeDouble, app: ClientApp
) -> None:
    """Test that only one intent is created even if each thread takes over the payment from the previous one."""
    stripe.faults.append(Fault("delay", 0.2, times=3))
    late: Iterator[int] = iter(range(0, 50 * 31, 31))
    lock = threading.Lock()

    def impatient() -> StoredResponse:
        with lock:
            after = next(late)
        return create(app, after=after)

    outcomes = in_threads(50, impatient)

    assert {type(outcome) for outcome in outcomes} <= {StoredResponse, services.InProgress}
    assert len(stripe.intents()) == 1
    assert len({outcome.body for outcome in outcomes if isinstance(outcome, StoredResponse)}) == 1


@pytest.mark.parametrize(
    ("instant", "rescue"),
    [(instant, "a repeat") for instant in ("inserted", "asked", "answered", "storing", "stored")]
    + [(instant, "the sweeper") for instant in ("inserted", "asked", "storing")],
)
def test_a_kill_at_any_point_leads_to_one_intent_and_the_same_response(
    stripe: StripeDouble, app: ClientApp, instant: str, rescue: str
) -> None:
    environment = {"DOUBLE_KEY": "sk_test_double", "STRIPE_API_BASE": stripe.base}
    victim = subprocesses.start("tests.payments.dying", instant, app.pk, "k", **environment)
    if instant == "asked":
        stripe.before_answer = lambda path: victim.kill()
    victim.communicate(timeout=60)
    stripe.before_answer = None
    assert victim.returncode == -9

    if rescue == "the sweeper":
        services.sweep(now=timezone.now() + timedelta(seconds=60))
    answer = create(app, after=31)

    [intent] = stripe.intents()
    payment = Payment.objects.get()
    assert (answer.status, payment.state) == (201, "finished")
    assert json.loads(answer.body)["client_secret"] == intent["client_secret"]
    assert create(app).body == answer.body
    assert len(stripe.intents()) == 1


def test_a_repeat_immediately_takes_over_from_a_killed_process_of_this_machine(
    stripe: StripeDouble, app: ClientApp
) -> None:
    environment = {"DOUBLE_KEY": "sk_test_double", "STRIPE_API_BASE": stripe.base}
    victim = subprocesses.start("tests.payments.dying", "inserted", app.pk, "k", **environment)
    victim.communicate(timeout=60)
    payment = Payment.objects.get()

    # The portal cannot know whether a process on another machine still runs, so it waits for the end of the lease.
    Payment.objects.update(owner="another-machine")
    with pytest.raises(services.InProgress):
        create(app, after=10)
    assert stripe.intents() == []

    Payment.objects.update(owner=payment.owner)
    assert create(app).status == 201
    assert len(stripe.intents()) == 1


def test_the_sweeper_takes_over_from_a_killed_process_before_its_lease_expires(
    stripe: StripeDouble, app: ClientApp
) -> None:
    environment = {"DOUBLE_KEY": "sk_test_double", "STRIPE_API_BASE": stripe.base}
    victim = subprocesses.start("tests.payments.dying", "inserted", app.pk, "k", **environment)
    victim.communicate(timeout=60)
    Payment.objects.update(locked_until=timezone.now() + timedelta(hours=1))

    services.sweep(now=timezone.now())
    services.sweep(now=timezone.now() + timedelta(seconds=20))

    assert Payment.objects.get().state == "finished"
