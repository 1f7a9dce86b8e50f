"""Compute the orders that changed payments and reservations belong to."""

from collections.abc import Collection, Iterable
from typing import TypeVar

from django.db.models import Q

from impact.extension_points import Source, Wanted, order_sources
from impact.models import FurtherAmount, Order, OrderReference, Touch
from impact.references import MAX_LENGTH, Reference, ReferenceKind
from impact.services.links import add_touches, link_orders
from impact.states import Attempt, decide, group_by_order

T = TypeVar("T")

MAX_ROUNDS = 6
_FIELDS = ("stage", "created_at", "until", "settled_at", "amount", "currency", "seats", "customer")
_MEMBER_KINDS = {"payment": ReferenceKind.PAYMENT, "reservation": ReferenceKind.RESERVATION}
IN_CHUNK = 500  # An IN list in a query has at most this many values.


def refresh(source: Source, record_ids: Collection[int]) -> None:
    """Compute the orders that these records of the source belong to.

    The caller provides the transaction, and ensures that only one process at a time calls this function.
    """
    attempts = _close(list(source.load(Wanted(record_ids=frozenset(record_ids)))))
    grouped = group_by_order(attempts)
    orders = _store(grouped)
    _remove_replaced(grouped, orders)
    _store_references(grouped, orders)


def _close(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return the attempts, and others that an order id, a reservation or a payment connects with them.

    Connections through more than MAX_ROUNDS steps are not followed.
    """
    known = {(one.kind, one.reference): one for one in attempts}
    asked: set[tuple[str, str]] = set()
    for _ in range(MAX_ROUNDS):
        found = {("order", one.order_id) for one in known.values()}
        for one in known.values():
            found.add(
                ("reservation", one.reference if one.kind == "reservation" else one.reservation_id)
            )
            found.add(("payment", one.reference if one.kind == "payment" else one.payment_id))
        new = {pair for pair in found if pair[1]} - asked
        if not new:
            break
        asked |= new
        wanted = Wanted(
            order_ids=frozenset(value for kind, value in new if kind == "order"),
            reservation_ids=frozenset(value for kind, value in new if kind == "reservation"),
            payment_ids=frozenset(value for kind, value in new if kind == "payment"),
        )
        for source in order_sources:
            for one in source.load(wanted):
                known[one.kind, one.reference] = one
    return list(known.values())


def _store(grouped: dict[str, list[Attempt]]) -> dict[str, Order]:
    rows, further = [], {}
    for key, attempts in sorted(grouped.items()):
        decision = decide(attempts)
        amounts = list(decision.amounts.items())
        currency, amount = amounts[0] if amounts else ("", 0)
        further[key] = amounts[1:]
        rows.append(
            Order(
                key=key[:120],
                stage=decision.stage,
                created_at=decision.created_at,
                until=decision.until,
                settled_at=decision.settled_at,
                amount=amount,
                currency=currency,
                seats=decision.seats,
                customer=decision.customer,
            )
        )
    Order.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=_FIELDS, batch_size=200
    )
    orders: dict[str, Order] = {}
    for keys in chunks(sorted(grouped)):
        orders |= {order.key: order for order in Order.objects.filter(key__in=keys)}
    ids = [order.pk for order in orders.values()]
    for part in chunks(ids):
        FurtherAmount.objects.filter(order__in=part).delete()
    FurtherAmount.objects.bulk_create(
        FurtherAmount(order=orders[key], currency=currency, amount=amount)
        for key, amounts in further.items()
        for currency, amount in amounts
    )
    return orders


def _remove_replaced(grouped: dict[str, list[Attempt]], orders: dict[str, Order]) -> None:
    """Delete orders whose attempts now belong to other orders, and move their links to the other orders.

    A reservation without an order id is an order of its own until a payment names the order id.
    """
    owner = {
        (_MEMBER_KINDS[one.kind].value, one.reference): key
        for key, attempts in grouped.items()
        for one in attempts
        if one.kind in _MEMBER_KINDS
    }
    replaced: dict[int, set[str]] = {}
    for part in chunks(sorted({value for _, value in owner})):
        stored = OrderReference.objects.filter(
            Q(kind=ReferenceKind.PAYMENT) | Q(kind=ReferenceKind.RESERVATION), value__in=part
        ).values_list("kind", "value", "order_id")
        for kind, value, order_id in stored:
            key = owner.get((kind, value))
            if key is not None and orders[key].pk != order_id:
                replaced.setdefault(order_id, set()).add(key)
    current = {order.pk for order in orders.values()}
    for order_id, keys in replaced.items():
        if order_id in current:  # The order keeps some attempts, so it is not deleted.
            continue
        touches = list(Touch.objects.filter(order=order_id))
        for key in keys:
            add_touches(
                (touch.kind, touch.problem, orders[key].pk, touch.first_at, touch.last_at)
                for touch in touches
            )
        Order.objects.filter(pk=order_id).delete()


def _store_references(grouped: dict[str, list[Attempt]], orders: dict[str, Order]) -> None:
    wanted: set[tuple[str, str, int]] = set()
    for key, attempts in grouped.items():
        order_id = orders[key].pk
        for attempt in attempts:
            references = set(attempt.references)
            if attempt.kind in _MEMBER_KINDS:
                references.add(Reference(_MEMBER_KINDS[attempt.kind].value, attempt.reference))
            if attempt.order_id:
                references.add(Reference(ReferenceKind.ORDER.value, attempt.order_id))
            wanted |= {(kind, value[:MAX_LENGTH], order_id) for kind, value in references if value}
    known: set[tuple[str, str, int]] = set()
    for part in chunks([order.pk for order in orders.values()]):
        known |= set(
            OrderReference.objects.filter(order__in=part).values_list("kind", "value", "order_id")
        )
    gone = known - wanted
    for kind, value, order_id in gone:
        OrderReference.objects.filter(kind=kind, value=value, order=order_id).delete()
    new = sorted(wanted - known)
    OrderReference.objects.bulk_create(
        [OrderReference(kind=kind, value=value, order_id=order) for kind, value, order in new],
        ignore_conflicts=True,
        batch_size=300,
    )
    link_orders(new, {order.pk: order for order in orders.values()})


def chunks(values: list[T]) -> Iterable[list[T]]:
    for start in range(0, len(values), IN_CHUNK):
        yield values[start : start + IN_CHUNK]
