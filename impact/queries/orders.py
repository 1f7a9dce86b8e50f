"""Read single orders: the orders that a problem touched, for its page and win-back list, or that an event named."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from impact.extension_points import Description, Wanted
from impact.models import FurtherAmount, Order, OrderReference
from impact.queries.figures import STATE_SQL, Amounts, Figures, timestamp, touched_sql
from impact.queries.records import Record, records
from impact.references import Reference, ReferenceKind
from impact.services.catch_up import catch_up
from impact.services.links import is_linked
from impact.states import Stage, State

MAX_SHOWN = 100  # An event's page lists at most this many orders. Its figures include all orders.


@dataclass(frozen=True)
class OrderRow:
    """An order with its state in relation to a problem, ready to display."""

    id: int
    key: str
    state: State
    customer: str
    seats: int
    created_at: datetime
    first_at: datetime
    settled_at: datetime | None
    amounts: Amounts
    records: Sequence[Record] = ()

    @property
    def order_id(self) -> str:
        """Return the app's order id, or "" for a payment or reservation without one."""
        kind, _, value = self.key.partition(":")
        return value if kind == "order" else ""


@dataclass(frozen=True)
class OrderPage:
    rows: list[OrderRow]
    next_id: int | None  # The id after which the next page starts, or None on the last page.


def list_orders(
    description: Description,
    *,
    now: datetime,
    states: Collection[State] = (),
    after: int = 0,
    size: int,
    with_records: bool = False,
) -> OrderPage:
    """Return up to `size` orders that the problem touched and whose ids are greater than `after`, sorted by id.

    If `states` are given, only orders in these states are returned.
    """
    touched, values = touched_sql(description.problems, description.since, description.until)
    sql = (
        f"SELECT id, state, first_at FROM (SELECT o.id, {STATE_SQL} AS state, t.first_at"  # noqa: S608
        f" FROM ({touched}) t JOIN impact_order o ON o.id = t.order_id WHERE o.id > %s) touched"
    )
    parameters: list[Any] = [timestamp(now), *values, after]
    if states:
        sql += f" WHERE state IN ({', '.join(['%s'] * len(states))})"
        parameters += [str(state) for state in states]
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} ORDER BY id LIMIT %s", [*parameters, size + 1])
        found = cursor.fetchall()
    rows = _load(
        [(id, State(state), _datetime(at)) for id, state, at in found[:size]], with_records
    )
    return OrderPage(rows, found[size - 1][0] if len(found) > size else None)


def _datetime(value: Any) -> datetime:
    for convert in connection.ops.get_db_converters(_FIRST_AT):
        value = convert(value, _FIRST_AT, connection)
    result: datetime = value
    return result


_FIRST_AT = Order._meta.get_field("created_at").cached_col


def _load(found: Sequence[tuple[int, State, datetime]], with_records: bool) -> list[OrderRow]:
    ids = [id for id, _, _ in found]
    orders = Order.objects.in_bulk(ids)
    further: dict[int, Amounts] = {}
    for row in FurtherAmount.objects.filter(order__in=ids):
        further.setdefault(row.order_id, {})[row.currency] = row.amount
    by_order = _records(ids) if with_records else {}
    return [
        OrderRow(
            id=id,
            key=orders[id].key,
            state=state,
            customer=orders[id].customer,
            seats=orders[id].seats,
            created_at=orders[id].created_at,
            first_at=first_at,
            settled_at=orders[id].settled_at or orders[id].until,
            amounts=_amounts(orders[id], further.get(id, {})),
            records=by_order.get(id, ()),
        )
        for id, state, first_at in found
    ]


def _amounts(order: Order, further: Amounts) -> Amounts:
    return {**({order.currency: order.amount} if order.currency else {}), **further}


def _records(order_ids: Sequence[int]) -> dict[int, list[Record]]:
    """Return the payments and reservations of the orders."""
    members = OrderReference.objects.filter(
        order__in=order_ids, kind__in=[ReferenceKind.PAYMENT, ReferenceKind.RESERVATION]
    ).values_list("kind", "value", "order_id")
    order_of = {(kind, value): order_id for kind, value, order_id in members}
    wanted = Wanted(
        reservation_ids=frozenset(v for k, v in order_of if k == ReferenceKind.RESERVATION),
        payment_ids=frozenset(v for k, v in order_of if k == ReferenceKind.PAYMENT),
    )
    found: dict[int, list[Record]] = {}
    for record in records(wanted):
        order_id = order_of.get((record.kind, record.reference))
        if order_id is not None:
            found.setdefault(order_id, []).append(record)
    return found


@dataclass(frozen=True)
class EventCost:
    """The orders that the references of one event name, and their figures."""

    figures: Figures = field(default_factory=Figures)
    orders: Sequence[OrderRow] = ()
    estimate: None = None
    is_complete: bool = True

    def __bool__(self) -> bool:
        return bool(self.orders)


def cost_of_mentions(references: Iterable[Reference], *, at: datetime, now: datetime) -> EventCost:
    """Return the cost of an event that named these references at the time `at`.

    The orders are updated first, as far as that is quickly possible (see `catch_up`).
    """
    is_complete = catch_up()
    linked: dict[int, Order] = {}
    for kind, value in references:
        matches = OrderReference.objects.filter(kind=kind, value=value).select_related("order")
        for row in matches:
            if is_linked(kind, row.order.created_at, at, at):
                linked[row.order_id] = row.order
    found = [(pk, state_of(linked[pk], at, now), at) for pk in sorted(linked)]
    figures = _add_up(_load(found, with_records=False))
    shown = _load(found[:MAX_SHOWN], with_records=True)
    return EventCost(figures, shown, is_complete=is_complete)


def state_of(order: Order, first_at: datetime, now: datetime) -> State:
    """Return the state of the order in relation to a problem at `first_at`. STATE_SQL applies the same rule."""
    if order.stage == Stage.REFUND_DUE:
        return State.REFUND_DUE
    if order.stage == Stage.PAID:
        return State.RECOVERED if order.settled_at and order.settled_at > first_at else State.SAFE
    ended_at = order.settled_at if order.stage == Stage.ENDED else order.until
    if order.stage == Stage.OPEN and (ended_at is None or ended_at > now):
        return State.AT_RISK
    return State.LOST if ended_at and ended_at > first_at else State.EARLIER


def _add_up(rows: Iterable[OrderRow]) -> Figures:
    figures = Figures()
    for row in rows:
        if row.state == State.EARLIER:
            continue
        figures.orders[row.state] = figures.orders.get(row.state, 0) + 1
        figures.seats[row.state] = figures.seats.get(row.state, 0) + row.seats
        amounts = figures.amounts.setdefault(row.state, {})
        for currency, amount in row.amounts.items():
            amounts[currency] = amounts.get(currency, 0) + amount
    return figures
