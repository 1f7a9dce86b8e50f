"""Test that every exact figure of a simulated month equals the shop's books, Stripe's records and direct SQL.

The suite runs a month with few orders. To run the full month on both databases, use
`MONTH_ORDERS=20000 .venv/bin/python -m tests.run -s -n 0 tests/impact/test_month.py`.
"""

import os
from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from errors.models import ErrorGroup
from errors.queries import pages
from impact.queries.figures import Figures, timestamp
from reservations.models import HoldExtension
from tests.factories import make_app
from tests.impact.month import PROBLEMS, Month
from tests.payments.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db
SUITE_ORDERS = 80
ORDERS = int(os.environ.get("MONTH_ORDERS", SUITE_ORDERS))
STEPS = 8 if ORDERS == SUITE_ORDERS else 40


def figures(group: ErrorGroup, now: datetime) -> Figures:
    return pages.group_impact(group, now=now).figures


def in_books_form(found: Figures) -> dict[str, tuple[int, dict[str, int]]]:
    return {
        state.value: (count, found.amounts.get(state, {})) for state, count in found.orders.items()
    }


def paid_by_sql(group: ErrorGroup) -> dict[str, int]:
    """Return, by currency, the money received minus refunds for the orders that the group's events named."""
    return _sums(
        f"""
        SELECT p.currency, sum(p.amount_received - p.amount_refunded) FROM payment_intents_log p
        WHERE p.status = 'succeeded' AND p.amount_received > p.amount_refunded
        AND p.order_id IN (SELECT r.order_id FROM reservations_reservation r WHERE r.id IN ({_named()}))
        GROUP BY 1
        """,
        [group.pk] * 5,
    )


def open_by_sql(group: ErrorGroup, now: datetime) -> dict[str, int]:
    """Return, by currency, the prices of the live or processing holds that the group's events named."""
    return _sums(
        f"""
        SELECT l.currency, sum(l.price * l.quantity) FROM reservations_line l
        JOIN reservations_reservation r ON r.id = l.reservation_id
        WHERE r.id IN ({_named()}) AND (r.status = 'active' AND r.expires_at > %s OR r.order_id IN
            (SELECT p.order_id FROM payment_intents_log p WHERE p.status = 'processing'))
        GROUP BY 1
        """,
        [*[group.pk] * 5, timestamp(now)],
    )


def _named() -> str:
    """Return SQL that selects the ids of the reservations that a group's events referred to.

    An event refers to a reservation directly or through any kind of reference.
    """
    uuid = (
        "CAST(NULLIF(e.reservation_ref, '') AS uuid)"
        if connection.vendor == "postgresql"
        else "replace(e.reservation_ref, '-', '')"
    )
    reservation, payment = (
        "SELECT r.id FROM errors_errorevent e JOIN reservations_reservation r",
        "SELECT r.id FROM reservations_reservation r JOIN payment_intents_log p ON p.order_id = r.order_id"
        " JOIN errors_errorevent e",
    )
    return " UNION ".join(
        f"{sql} WHERE e.group_id = %s"
        for sql in (
            f"{reservation} ON r.order_id = e.order_ref AND e.order_ref <> ''",
            f"{reservation} ON r.uuid = {uuid}",
            f"{reservation} ON r.customer = e.user_key AND e.user_key <> ''",
            f"{payment} ON p.intent_id = e.payment_ref AND e.payment_ref <> ''",
            f"{payment} ON p.request_id = e.request_id AND e.request_id <> ''",
        )
    )


def _sums(sql: str, values: list[Any]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return {currency: int(amount) for currency, amount in cursor.fetchall() if amount}


def add(*parts: dict[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for currency, amount in part.items():
            total[currency] = total.get(currency, 0) + amount
    return total


def test_every_figure_equals_the_books_stripe_and_direct_sql_at_every_step(
    double: StripeDouble,
) -> None:
    month = Month(make_app("shop"), double, orders=ORDERS)

    compared = 0
    for now in month.run(steps=STEPS):
        for group in ErrorGroup.objects.all():
            found = figures(group, now)
            by_state = in_books_form(found)
            assert by_state == month.expected(group.title, now), (group.title, now)
            paid = add(by_state.get("safe", (0, {}))[1], by_state.get("recovered", (0, {}))[1])
            assert paid == paid_by_sql(group) == month.kept_by_stripe(group.title)
            assert by_state.get("at_risk", (0, {}))[1] == open_by_sql(group, now)
            compared += bool(found)
        if ORDERS > SUITE_ORDERS:
            print(f"{now:%d %b %H:%M}: {compared} groups compared")

    assert compared > STEPS
    assert ErrorGroup.objects.count() == len(PROBLEMS)
    assert HoldExtension.objects.exists()
