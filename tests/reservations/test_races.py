"""Test concurrent buyers in threads, in processes and in killed processes against the real database."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from payments.models import Payment
from reservations import services
from reservations.models import Discrepancy, Reservation, Status, TicketType
from reservations.queries.drift import find_drift
from tests import subprocesses
from tests.factories import make_app, make_payment, make_ticket_type, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run all calls at the same time, each in its own thread. Return the result or exception of each."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        try:
            barrier.wait(60)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_only_one_of_forty_buyers_gets_the_last_ticket() -> None:
    standing, app = make_ticket_type(1), make_app()

    def buy() -> object:
        return services.reserve(app=app, wanted=wanted((standing, 1)), now=timezone.now())

    outcomes = Counter(type(outcome).__name__ for outcome in at_once(*[buy] * 40))

    assert outcomes == {"Reserved": 1, "SoldOut": 39}
    assert find_drift() == []


def test_twenty_concurrent_requests_with_one_key_make_one_reservation() -> None:
    standing, app = make_ticket_type(100), make_app()

    def buy() -> object:
        request = wanted((standing, 2), key="the same")
        return services.reserve(app=app, wanted=request, now=timezone.now()).reservation.uuid

    assert len(set(at_once(*[buy] * 20))) == 1
    standing.refresh_from_db()
    assert standing.held == 2


def test_orders_of_the_same_types_in_any_order_do_not_deadlock() -> None:
    types, app = [make_ticket_type(1000) for _ in range(3)], make_app()
    first, second, third = types

    def buy(*items: tuple[TicketType, int]) -> Callable[[], object]:
        return lambda: services.reserve(app=app, wanted=wanted(*items), now=timezone.now())

    forward, backward = buy((first, 1), (third, 2)), buy((third, 1), (second, 1), (first, 1))
    outcomes = at_once(*[forward, backward, buy((second, 1))] * 8)

    assert {type(outcome) for outcome in outcomes} == {services.Reserved}
    assert find_drift() == []


def test_forty_buyers_get_exactly_the_tickets_of_expired_holds() -> None:
    standing, app = make_ticket_type(20), make_app()
    past = timezone.now() - timedelta(minutes=16)
    for _ in range(10):
        services.reserve(app=app, wanted=wanted((standing, 2)), now=past)

    def buy() -> object:
        while True:
            try:
                return services.reserve(app=app, wanted=wanted((standing, 1)), now=timezone.now())
            except services.Busy:
                continue

    outcomes = Counter(type(outcome).__name__ for outcome in at_once(*[buy] * 40))

    assert outcomes == {"Reserved": 20, "SoldOut": 20}
    assert find_drift() == []


def test_a_customers_simultaneous_requests_stay_within_the_limit() -> None:
    standing, app = make_ticket_type(100, per_customer_limit=3), make_app()

    def buy() -> object:
        request = wanted((standing, 1), customer="c-1")
        return services.reserve(app=app, wanted=request, now=timezone.now())

    outcomes = Counter(type(outcome).__name__ for outcome in at_once(*[buy] * 12))

    assert outcomes == {"Reserved": 3, "LimitReached": 9}


@pytest.mark.parametrize("round_", range(5))
def test_payment_and_expiry_at_the_same_time_lead_to_a_seat_or_a_refund(round_: int) -> None:
    standing, app = make_ticket_type(1), make_app()
    past = timezone.now() - timedelta(minutes=16)
    reservation = services.reserve(app=app, wanted=wanted((standing, 1)), now=past).reservation
    payment = make_payment(str(reservation.uuid))

    def pay() -> None:
        services.complete_paid(payment=Payment.objects.get(pk=payment.pk), now=timezone.now())

    def expire() -> object:
        return services.release_expired(now=timezone.now())

    def snatch() -> object:
        return services.reserve(app=app, wanted=wanted((standing, 1)), now=timezone.now())

    outcomes = at_once(pay, expire, snatch)

    reservation.refresh_from_db()
    if reservation.status == Status.COMPLETED:
        assert not Discrepancy.objects.exists()
    else:
        assert reservation.status == Status.REFUND_NEEDED
        assert Discrepancy.objects.open().get().payment == payment
        assert isinstance(outcomes[2], services.Reserved)
    assert find_drift() == []


@pytest.mark.slow
def test_200_threads_in_4_processes_sell_exactly_100_tickets() -> None:
    standing = make_ticket_type(100)
    make_app("buyers")
    crowds = [
        subprocesses.start("tests.reservations.buyers", standing.pk, 50, name) for name in "abcd"
    ]
    for crowd in crowds:
        assert crowd.stdout
        assert crowd.stdout.readline() == "ready\n"

    said = [json.loads(crowd.communicate("go\n", timeout=120)[0]) for crowd in crowds]

    total = sum((Counter(one) for one in said), Counter[str]())
    total.pop("busy", None)
    # No other outcome occurred, such as a deadlock or "database is locked".
    assert set(total) == {"reserved", "completed"}
    assert total["reserved"] == 100
    standing.refresh_from_db()
    assert (standing.held + standing.sold, standing.sold) == (100, total["completed"])
    assert find_drift() == []


@pytest.mark.slow
def test_the_counters_are_right_after_buyers_are_killed() -> None:
    standing = make_ticket_type(100_000)
    make_app("buyers")
    for name in "abc":
        crowd = subprocesses.start("tests.reservations.buyers", standing.pk, 8, name)
        assert crowd.stdout
        crowd.stdout.readline()
        before = Reservation.objects.count()
        assert crowd.stdin
        crowd.stdin.write("go\n")
        crowd.stdin.flush()
        end = time.monotonic() + 60
        while Reservation.objects.count() < before + 30 and time.monotonic() < end:
            time.sleep(0.01)
        crowd.kill()
        crowd.communicate()

        assert Reservation.objects.count() >= before + 30
        assert find_drift() == []
