"""A generated month: every exact figure equals the shop's own books and direct SQL, at every step."""

from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from errors.models import ErrorGroup
from errors.queries import pages
from impact.queries.figures import Figures, timestamp
from tests.factories import make_app
from tests.impact.month import PROBLEMS, Month

pytestmark = pytest.mark.django_db


def figures(group: ErrorGroup, now: datetime) -> Figures:
    return pages.group_impact(group, now=now).figures


def in_books_form(found: Figures) -> dict[str, tuple[int, dict[str, int]]]:
    return {
        state.value: (count, found.amounts.get(state, {})) for state, count in found.orders.items()
    }


def paid_by_sql(group: ErrorGroup) -> dict[str, int]:
    """Return the remaining money of all orders that the group's events named, by currency."""
    return _sums(
        """
        SELECT p.currency, sum(p.amount_received - p.amount_refunded) FROM payment_intents_log p
        WHERE p.status = 'succeeded' AND p.amount_received > p.amount_refunded AND p.order_id IN
            (SELECT r.order_id FROM reservations_reservation r JOIN errors_errorevent e
             ON e.order_ref = r.order_id OR replace(e.reservation_ref, '-', '') = replace(CAST(r.uuid AS text), '-', '')
             WHERE e.group_id = %s)
        GROUP BY 1
        """,
        [group.pk],
    )


def held_by_sql(group: ErrorGroup, now: datetime) -> dict[str, int]:
    """Return the prices of the live holds that the group's events named, by currency."""
    return _sums(
        """
        SELECT l.currency, sum(l.price * l.quantity) FROM reservations_line l WHERE l.reservation_id IN
            (SELECT r.id FROM reservations_reservation r JOIN errors_errorevent e
             ON e.order_ref = r.order_id OR replace(e.reservation_ref, '-', '') = replace(CAST(r.uuid AS text), '-', '')
             WHERE e.group_id = %s AND r.status = 'active' AND r.expires_at > %s)
        GROUP BY 1
        """,
        [group.pk, timestamp(now)],
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


def test_every_figure_equals_the_books_and_direct_sql_at_every_step() -> None:
    month = Month(make_app("shop"), orders=120)

    compared = 0
    for now in month.run(steps=8):
        for group in ErrorGroup.objects.all():
            found = figures(group, now)
            by_state = in_books_form(found)
            assert by_state == month.expected(group.title, now), (group.title, now)
            paid = add(by_state.get("safe", (0, {}))[1], by_state.get("recovered", (0, {}))[1])
            assert paid == paid_by_sql(group)
            assert by_state.get("at_risk", (0, {}))[1] == held_by_sql(group, now)
            compared += bool(found)

    assert compared > 8
    assert ErrorGroup.objects.count() == len(PROBLEMS)
