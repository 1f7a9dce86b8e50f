"""Test that frequent queries about payments and reservations use an index instead of reading a whole table."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.extension_points import Reading
from impact.extension_points import Wanted
from payments.hooks.alert_rules import failed_debits
from payments.hooks.order_sources import payment_attempts
from payments.models import Payment
from payments.queries import stats
from payments.queries.dues import sum_partial_payments
from payments.services.sweep import reap_keys
from reservations.hooks.order_sources import reservation_attempts
from reservations.models import Reservation, TicketType
from reservations.queries.stats import collect_stats
from reservations.services.customers import recognize_customer
from tests.two_runs import in_the_sqlite_run

# On PostgreSQL, the plan depends on the number of rows, so that an empty table is always read as a whole.
pytestmark = [pytest.mark.django_db, in_the_sqlite_run]
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
UUID = "0c9f0c3e-8f43-4d0e-9a39-0d3f8a2f7a11"
WANTED = Wanted(frozenset([1]), frozenset(["o-1"]), frozenset([UUID]), frozenset([UUID]))
LARGE_TABLES = [
    "payment_intents_log",
    "webhook_events_log",
    "reservations_reservation",
    "reservations_line",
]

QUERIES: dict[str, Callable[[], object]] = {
    "payments of an order": lambda: list(Payment.objects.filter(order_id="o-1")),
    "payments of a reservation": lambda: list(Payment.objects.filter(reservation_id=UUID)),
    "payments of a customer": lambda: list(Payment.objects.filter(customer__in=["c-1"])),
    "payments of a request": lambda: list(Payment.objects.filter(request_id="r-1")),
    "unfinished payments": lambda: list(Payment.objects.with_expired_lease(NOON)),
    "stuck payments": lambda: stats.count_stuck(NOON),
    "payments of a period": lambda: stats.count_attempts(NOON),
    "sales of a chart": lambda: stats.received_per_slot(NOON, NOON + DAY, width=DAY),
    "the main currency": lambda: stats.main_currency(NOON),
    "Stripe events of a period": lambda: stats.count_webhooks(since=NOON),
    "failed debits": lambda: list(cast("Iterator[Reading]", failed_debits(NOON, NOON + DAY))),
    "expired keys": lambda: reap_keys(now=NOON),
    "partial payments": lambda: sum_partial_payments(UUID, currency="EUR", except_payment=1),
    "payments for the cost of problems": lambda: list(payment_attempts(WANTED)),
    "reservations for the cost of problems": lambda: list(reservation_attempts(WANTED)),
    "reservations of an order": lambda: list(Reservation.objects.filter(order_id="o-1")),
    "reservations of a request": lambda: list(Reservation.objects.filter(request_id="r-1")),
    "reservations with an earlier reference of a customer": lambda: recognize_customer(
        customer="c-1", earlier=["c-2"]
    ),
    "reservations of a period": lambda: collect_stats(now=NOON, since=NOON - DAY),
    "tickets left": lambda: TicketType.objects.filter(pk__in=[1, 2]).available(NOON),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_frequent_query_reads_no_large_table_as_a_whole(name: str) -> None:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        QUERIES[name]()

    selects = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
    assert selects
    for sql in selects:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = [detail for *_, detail in cursor.fetchall()]
        scans = [line for line in plan if re.match(rf"SCAN ({'|'.join(LARGE_TABLES)})\b", line)]
        assert not scans, sql
