"""Compute the exact figures of problems (orders, amounts and seats by state) in one statement.

The figures of a problem cover all orders that it affected. The figures of several problems count each order once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from core.lib import formats
from impact.extension_points import Problem
from impact.states import State

Amounts = dict[str, int]  # Maps a currency to an amount in minor units.


@dataclass(frozen=True)
class Figures:
    """Orders, amounts and seats by state, without orders that ended before the problem."""

    orders: dict[State, int] = field(default_factory=dict)
    amounts: dict[State, Amounts] = field(default_factory=dict)
    seats: dict[State, int] = field(default_factory=dict)

    @property
    def order_count(self) -> int:
        return sum(self.orders.values())

    @property
    def seat_count(self) -> int:
        return sum(self.seats.values())

    def __bool__(self) -> bool:
        return bool(self.orders)

    def rows(self) -> list[tuple[State, int, Amounts, int]]:
        """Return (state, orders, amounts, seats) for each state that occurs, worst first."""
        return [
            (state, self.orders[state], self.amounts.get(state, {}), self.seats.get(state, 0))
            for state in SHOWN_STATES
            if state in self.orders
        ]

    def sentence(self) -> str:
        """Return the figures in words, such as "11 orders, 640.00 EUR at risk, 3 recovered", or "" without orders."""
        if not self.orders:
            return ""
        parts = [f"{self.order_count:,} order{'' if self.order_count == 1 else 's'}"]
        for state in (State.AT_RISK, State.LOST, State.REFUND_DUE):
            amounts = format_amounts(self.amounts.get(state, {}))
            if amounts:
                parts.append(f"{amounts} {state.label}")
            elif self.orders.get(state):
                parts.append(f"{self.orders[state]:,} {state.label}")
        parts += [
            f"{self.orders[state]:,} {state.label}"
            for state in (State.RECOVERED, State.SAFE)
            if self.orders.get(state)
        ]
        return ", ".join(parts)


SHOWN_STATES = (State.AT_RISK, State.LOST, State.REFUND_DUE, State.RECOVERED, State.SAFE)


def format_amounts(amounts: Amounts) -> str:
    """Return the amounts above zero in words, such as "640.00 EUR and 20.00 USD"."""
    return " and ".join(
        formats.money(amount, currency) for currency, amount in sorted(amounts.items()) if amount
    )


def describe_state(figures: Figures, state: State) -> str:
    """Return the orders in one state in words, such as "11 orders, 640.00 EUR"."""
    count = figures.orders.get(state, 0)
    amounts = format_amounts(figures.amounts.get(state, {}))
    orders = f"{count:,} order{'' if count == 1 else 's'}"
    return f"{orders}, {amounts}" if amounts else orders


# The state of an order in relation to a problem that first named it at `first_at`. The parameter is the current time.
# `queries.orders.state_of` applies the same rule in Python.
STATE_SQL = f"""CASE o.stage
    WHEN 'refund_due' THEN '{State.REFUND_DUE}'
    WHEN 'paid' THEN CASE WHEN o.settled_at > t.first_at THEN '{State.RECOVERED}' ELSE '{State.SAFE}' END
    WHEN 'open' THEN CASE
        WHEN o.until IS NULL OR o.until > %s THEN '{State.AT_RISK}'
        WHEN o.until > t.first_at THEN '{State.LOST}' ELSE '{State.EARLIER}' END
    ELSE CASE WHEN o.settled_at > t.first_at THEN '{State.LOST}' ELSE '{State.EARLIER}' END END"""


def touched_sql(
    problems: Collection[Problem] | None, since: datetime | None, until: datetime | None
) -> tuple[str, list[Any]]:
    """Return the SQL and the parameters that select (order_id, first_at) once for each order that a problem touched.

    If `problems` is None, all problems are included.
    """
    conditions, values = ["1 = 1"], []
    if problems is not None:
        of_kind = []
        for kind in sorted({problem.kind for problem in problems}):
            ids = sorted(problem.id for problem in problems if problem.kind == kind)
            of_kind.append(f"(kind = %s AND problem IN ({', '.join(['%s'] * len(ids))}))")
            values += [kind, *ids]
        conditions = [f"({' OR '.join(of_kind)})"]
    if since is not None:
        conditions.append("last_at >= %s")
        values.append(timestamp(since))
    if until is not None:
        conditions.append("first_at <= %s")
        values.append(timestamp(until))
    condition = " AND ".join(conditions)
    if problems is not None and len(problems) == 1:
        return f"SELECT order_id, first_at FROM impact_touch WHERE {condition}", values  # noqa: S608
    return (
        "SELECT order_id, min(first_at) AS first_at FROM impact_touch"  # noqa: S608
        f" WHERE {condition} GROUP BY order_id",
        values,
    )


def figures_of(
    problems: Collection[Problem] | None,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Figures:
    """Return the figures of the orders that at least one of the problems touched between `since` and `until`.

    If `problems` is None, all problems are included.
    """
    if problems is not None and not problems:
        return Figures()
    touched, values = touched_sql(problems, since, until)
    at = timestamp(now)
    orders: dict[State, int] = {}
    amounts: dict[State, Amounts] = {}
    seats: dict[State, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH t AS ({touched})"  # noqa: S608
            f" SELECT {STATE_SQL}, o.currency, sum(o.amount), count(*), sum(o.seats)"
            " FROM t JOIN impact_order o ON o.id = t.order_id GROUP BY 1, 2"
            f" UNION ALL SELECT {STATE_SQL}, f.currency, sum(f.amount), 0, 0 FROM impact_furtheramount f"
            " JOIN t ON t.order_id = f.order_id JOIN impact_order o ON o.id = f.order_id GROUP BY 1, 2",
            [*values, at, at],
        )
        rows = cursor.fetchall()
    for name, currency, amount, count, seat_count in rows:
        state = State(name)
        of_state = amounts.setdefault(state, {})
        if currency:
            of_state[currency] = of_state.get(currency, 0) + int(amount)
        orders[state] = orders.get(state, 0) + count
        seats[state] = seats.get(state, 0) + int(seat_count)
    orders.pop(State.EARLIER, None)
    amounts.pop(State.EARLIER, None)
    seats.pop(State.EARLIER, None)
    return Figures(orders, amounts, seats)


def timestamp(value: datetime) -> Any:
    """Return the timestamp in the format that this database stores."""
    return connection.ops.adapt_datetimefield_value(value)
