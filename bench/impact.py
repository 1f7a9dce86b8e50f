"""Measure how long figures, lists and pages about the cost of problems take, with 100,000 events and 20,000 orders.

    python -m bench.impact --orders 20000 --events 100000

The benchmark writes into the current database, which should be empty. The events of one error group name all orders,
and the events of twenty groups name some of the orders. One more group is new; before its first event, there are many
changes and calls of 200 functions.
"""

import argparse
import os
import random
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.set_up import set_up_django

set_up_django()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from alerts.extension_points import Severity  # noqa: E402
from alerts.services import report_problem  # noqa: E402
from core.accounts.services import audit  # noqa: E402
from core.clients.models import ClientApp  # noqa: E402
from core.releases.models import Deploy  # noqa: E402
from core.releases.services import record_deploy  # noqa: E402
from errors.event.new_event import NewEvent  # noqa: E402
from errors.models import ErrorGroup  # noqa: E402
from errors.queries import pages  # noqa: E402
from errors.queries.onset import onset_of_group  # noqa: E402
from errors.services import record_events  # noqa: E402
from health.models import Incident, Latency, Series, SeriesKind, Tier  # noqa: E402
from impact.models import Change, Order, Touch  # noqa: E402
from impact.queries.causes import find_causes  # noqa: E402
from impact.references import References  # noqa: E402
from impact.services.catch_up import catch_up  # noqa: E402
from impact.states import State  # noqa: E402
from payments.models import Payment  # noqa: E402
from reservations.models import Event, Line, Reservation, TicketType  # noqa: E402

CURRENCIES = ("EUR", "USD", "GBP", "JPY")
BATCH = 500
MINUTE = timedelta(minutes=1)


def seed(orders: int, events: int) -> None:
    """Create reservations, payments (with retries), and events that name these payments and reservations."""
    drawn = random.Random(7)
    now = timezone.now()
    app, _ = ClientApp.objects.get_or_create(slug="bench-impact", defaults={"name": "Bench"})
    event, _ = Event.objects.get_or_create(slug="bench-impact", defaults={"name": "Bench"})
    types = [
        TicketType.objects.get_or_create(
            event=event,
            name=currency,
            defaults={"capacity": 10**6, "price": 4500, "currency": currency},
        )[0]
        for currency in CURRENCIES
    ]
    for start in range(0, orders, BATCH):
        _seed_orders(range(start, min(start + BATCH, orders)), app, types, now, drawn)
    for start in range(0, events, BATCH):
        record_events(
            [
                _event(app, number, orders, now, drawn)
                for number in range(start, min(start + BATCH, events))
            ]
        )


def _seed_orders(
    numbers: range, app: ClientApp, types: list[TicketType], now: datetime, drawn: random.Random
) -> None:
    reservations, lines, payments = [], [], []
    for number in numbers:
        type_, created = (
            types[number % len(types)],
            now - timedelta(minutes=drawn.random() * 40_000),
        )
        outcome = drawn.choice(["paid", "paid", "expired", "active"])
        is_open = outcome == "active"
        reservation = Reservation(
            uuid=uuid.uuid4(),
            app=app,
            idempotency_key=f"bench-{number}",
            fingerprint="f",
            status={"paid": "completed", "expired": "expired", "active": "active"}[outcome],
            customer=f"customer-{number % 5000}",
            order_id=f"order-{number}",
            created_at=created,
            expires_at=now + timedelta(hours=1) if is_open else created + timedelta(minutes=15),
            ended_at=None if is_open else created + timedelta(minutes=10),
        )
        reservations.append(reservation)
        lines.append(
            Line(reservation=reservation, ticket_type=type_, quantity=2, price=4500, currency=type_.currency)
        )  # fmt: skip
        for attempt in range(drawn.choice([1, 1, 2, 3])):
            is_paid = outcome == "paid" and attempt == 0
            payments.append(
                Payment(
                    app=app,
                    livemode=False,
                    key=f"bench-{number}-{attempt}",
                    fingerprint="f",
                    state="finished",
                    locked_until=created,
                    amount=9000,
                    currency=type_.currency,
                    order_id=f"order-{number}",
                    reservation_id=str(reservation.uuid),
                    intent_id=f"pi_bench_{number}_{attempt}",
                    status="succeeded" if is_paid else "requires_payment_method",
                    status_at=created + timedelta(minutes=5),
                    amount_received=9000 if is_paid else 0,
                    created_at=created,
                    finished_at=created,
                    expires_at=created + timedelta(hours=24),
                )
            )
    Reservation.objects.bulk_create(reservations)
    Line.objects.bulk_create(lines)
    Payment.objects.bulk_create(payments)


def _event(
    app: ClientApp, number: int, orders: int, now: datetime, drawn: random.Random
) -> NewEvent:
    at = now - timedelta(minutes=drawn.random() * 40_000)
    group = 0 if number % 2 == 0 else 1 + number % 20
    return NewEvent(
        app_id=app.pk,
        event_id=uuid.UUID(int=drawn.getrandbits(128)).hex,
        received_at=at.astimezone(UTC),
        occurred_at=at,
        group_hash=f"bench{group}".ljust(32, "0"),
        title=f"Problem {group}",
        payload=b"{}",
        user_key=f"customer-{number % 5000}",
        request_id=f"request-{number}",
        order_ref=f"order-{(number // 2) % orders}",
    )


def seed_changes(functions: int) -> ErrorGroup:
    """Create deploys, edits and calls of many functions, and then a new error.

    Shortly before the error, the calls of one function become slower.
    """
    drawn = random.Random(8)
    now = timezone.now()
    at = now - 5 * MINUTE
    app = ClientApp.objects.get(slug="bench-impact")
    user = bench_user()
    for number in range(40):
        record_deploy(
            app=app,
            version=f"1.{number}",
            environment="production" if number % 2 else "staging",
            source=Deploy.Source.API,
            now=at - (1 + 20 * number) * MINUTE,
        )
        audit.record(
            user,
            "clients.clientapp changed",
            target=f"clientapp {app.pk}",
            now=at - number * MINUTE,
        )
    first = Tier.MINUTE.floor(at) - 80 * MINUTE
    for number in range(functions):
        series, _ = Series.objects.get_or_create(
            app=app, kind=SeriesKind.FUNCTION, name=f"function {number}", environment="production"
        )
        Latency.objects.bulk_create(
            (
                Latency(
                    series=series,
                    tier=Tier.MINUTE,
                    start=first + minute * MINUTE,
                    count=20,
                    total_ms=20 * drawn.uniform(80, 120) * (5 if not number and minute > 76 else 1),
                )
                for minute in range(86)
            ),
            batch_size=BATCH,
        )
    record_events(
        [
            NewEvent(
                app_id=app.pk,
                event_id=uuid.uuid4().hex,
                received_at=at.astimezone(UTC),
                occurred_at=at,
                group_hash="benchnew".ljust(32, "0"),
                title="New problem",
                payload=b"{}",
                environment="production",
                order_ref="order-1",
            )
        ]
    )
    return ErrorGroup.objects.get(title="New problem")


def bench_user() -> User:
    return User.objects.filter(username="bench").first() or User.objects.create_superuser("bench")


def measure(name: str, run: Callable[[], object], rounds: int) -> None:
    """Print the wall time of `run`, and its processor time, which depends less on other programs on the machine."""
    times = []
    run()
    busy = _processor_seconds()
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1000)
    busy = (_processor_seconds() - busy) / rounds * 1000
    print(
        f"{name:44} best {min(times):7.1f} ms   median {statistics.median(times):7.1f} ms"
        f"   processor {busy:6.1f} ms"
    )


def _processor_seconds() -> float:
    """Return the processor time of this process and, if it runs on this machine, of its PostgreSQL backend."""
    seconds = time.process_time()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            stat = Path(f"/proc/{cursor.fetchone()[0]}/stat")
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def compare_with_sql(group: ErrorGroup) -> None:
    """Raise AssertionError if the group's figures differ from SQL queries over reservations and payments."""
    found = pages.group_impact(group, now=timezone.now()).figures
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.currency, sum(p.amount_received) FROM payment_intents_log p WHERE p.status = 'succeeded'"
            " AND p.order_id IN (SELECT order_ref FROM errors_errorevent WHERE group_id = %s) GROUP BY 1",
            [group.pk],
        )
        paid = {currency: int(amount) for currency, amount in cursor.fetchall()}
        cursor.execute(
            "SELECT l.currency, sum(l.price * l.quantity) FROM reservations_line l"
            " JOIN reservations_reservation r ON r.id = l.reservation_id WHERE r.status = 'active'"
            " AND r.order_id IN (SELECT order_ref FROM errors_errorevent WHERE group_id = %s) GROUP BY 1",
            [group.pk],
        )
        held = {currency: int(amount) for currency, amount in cursor.fetchall()}
    ours = dict(found.amounts.get(State.SAFE, {}))
    for currency, amount in found.amounts.get(State.RECOVERED, {}).items():
        ours[currency] = ours.get(currency, 0) + amount
    assert ours == paid, (ours, paid)
    assert found.amounts.get(State.AT_RISK, {}) == held, (found.amounts, held)
    print(f"equal to SQL: {found.sentence()}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--functions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not Order.objects.filter(key="order:order-0").exists():
        seed(options.orders, options.events)
        started = time.perf_counter()
        while Change.objects.exists():
            catch_up(seconds=60)
        print(f"{'all changes applied':44} {time.perf_counter() - started:7.1f} s")
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    print(
        f"{connection.vendor}: {Order.objects.count():,} orders, {Touch.objects.count():,} touches"
    )
    group = ErrorGroup.objects.get(title="Problem 0")
    compare_with_sql(group)
    new = ErrorGroup.objects.filter(title="New problem").first() or seed_changes(options.functions)
    alert = report_problem(
        key="bench",
        alert_type="high-error-rate",
        title="Bench",
        message="",
        severity=Severity.HIGH,
        source="bench",
        now=new.first_seen_at + MINUTE,
        references=References(order_ids=frozenset(f"order-{number}" for number in range(1000))),
    )
    incident, _ = Incident.objects.get_or_create(
        title="Bench", defaults={"started_at": new.first_seen_at + MINUTE}
    )
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(bench_user())
    group_list = reverse("errors:group-list")
    urls = {
        "page of the group": reverse("errors:group-detail", args=[group.pk]),
        "page of a new group, with causes": reverse("errors:group-detail", args=[new.pk]),
        "page of an alert": alert.get_absolute_url(),
        "page of an incident": reverse("admin:health_incident_change", args=[incident.pk]),
        "page of the event, with forecasts": reverse(
            "reservations:event-page", args=["bench-impact"]
        ),
        "widget of the forecasts": reverse("health:widget", args=["health.forecasts"]),
        "list of errors": group_list,
        "list of errors by money at risk": f"{group_list}?sort=risk",
        "list of errors with money at risk": f"{group_list}?q=is:at-risk",
        "page of the orders": reverse("impact:orders", args=["group", group.pk]),
        "page of the lost orders": reverse("impact:orders", args=["group", group.pk])
        + "?state=lost",
    }
    measure(
        "figures of the group",
        lambda: pages.group_impact(group, now=timezone.now()),
        options.rounds,
    )
    measure("causes of the new group", lambda: find_causes(onset_of_group(new)), options.rounds)
    for name, url in urls.items():
        measure(name, lambda url=url: client.get(url), options.rounds)  # type: ignore[misc]


if __name__ == "__main__":
    main()
