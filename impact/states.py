"""Decide the stage of an order from its payments and reservations, and define the states. This module uses no database.

A stage is stored and does not depend on a problem. A state is the stage in relation to one problem: an order that was
paid after the problem began is recovered, and an order that was paid before is safe.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from impact.references import Reference


class Stage(models.TextChoices):
    OPEN = "open", "unfinished"
    PAID = "paid", "paid and seated"
    ENDED = "ended", "expired, cancelled or refunded"
    REFUND_DUE = "refund_due", "refund due"


class State(models.TextChoices):
    """The state of an order that a problem touched."""

    AT_RISK = "at_risk", "at risk"
    LOST = "lost", "lost"
    RECOVERED = "recovered", "recovered"
    REFUND_DUE = "refund_due", "refund due"
    SAFE = "safe", "safe"
    # Orders in this state are listed, but not included in any figure.
    EARLIER = "earlier", "ended before the problem"


@dataclass(frozen=True)
class Attempt:
    """An attempt to complete an order, with one payment or reservation."""

    kind: str  # "payment", "reservation", or "refund" for money that must be returned.
    reference: str  # The uuid of the payment or reservation.
    stage: Stage
    amount: int  # In the currency's smallest unit.
    currency: str
    created_at: datetime
    status: str = ""
    order_id: str = ""
    reservation_id: str = ""  # The reservation that a payment is for.
    payment_id: str = ""  # The payment that completed a reservation.
    until: datetime | None = None  # The end of an open attempt, or None if it has no time limit.
    settled_at: datetime | None = None
    seats: int = 0
    customer: str = ""
    references: frozenset[Reference] = frozenset()


@dataclass(frozen=True)
class Decision:
    """The stage, times and amounts of one order, as they are stored."""

    stage: Stage
    created_at: datetime
    # The time when an open order is lost, or None if it has no time limit.
    until: datetime | None = None
    settled_at: datetime | None = None  # The time when the order was paid or ended.
    # Maps currencies to amounts, largest amount first.
    amounts: dict[str, int] = field(default_factory=dict)
    seats: int = 0
    customer: str = ""


def order_key(attempt: Attempt, order_ids: dict[str, str]) -> str:
    """Return the key of the attempt's order. `order_ids` contains the known order ids by reservation."""
    reservation = attempt.reference if attempt.kind == "reservation" else attempt.reservation_id
    order_id = attempt.order_id or order_ids.get(reservation, "")
    if order_id:
        return f"order:{order_id}"
    if reservation:
        return f"reservation:{reservation}"
    return f"payment:{attempt.reference}"


def group_by_order(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Return the attempts by the key of their order.

    The key contains the order id or, without one, the reservation or the payment. An order id of a payment also
    applies to its reservation, and vice versa.
    """
    attempts = list(attempts)
    order_ids: dict[str, str] = {}
    for attempt in sorted(attempts, key=lambda one: (one.kind == "reservation", one.created_at)):
        reservation = attempt.reference if attempt.kind == "reservation" else attempt.reservation_id
        if attempt.order_id and reservation:
            # The reservation's own order id comes last and replaces an order id of its payments.
            order_ids[reservation] = attempt.order_id
    grouped: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        grouped.setdefault(order_key(attempt, order_ids), []).append(attempt)
    return grouped


def decide(attempts: Sequence[Attempt]) -> Decision:
    """Return the stage, times and amounts of the order with these attempts."""
    payments = [one for one in attempts if one.kind == "payment"]
    holds = [one for one in attempts if one.kind == "reservation"]
    created_at = min(one.created_at for one in attempts)
    customer = next((one.customer for one in attempts if one.customer), "")

    def decision(stage: Stage, amounts: dict[str, int], **fields: Any) -> Decision:
        return Decision(stage, created_at, amounts=_sorted(amounts), customer=customer, **fields)

    due = [one for one in attempts if one.kind == "refund"]
    due = due or [one for one in holds if one.stage == Stage.REFUND_DUE]
    if due:
        return decision(Stage.REFUND_DUE, _sum(due), settled_at=_latest(due), seats=0)

    paid = [one for one in payments if one.stage == Stage.PAID]
    returned = {one.reference for one in payments if one.stage == Stage.ENDED}
    seated = [one for one in holds if one.stage == Stage.PAID and one.payment_id not in returned]
    if paid and holds and not seated:
        # The money was received, but no seat is booked. A hold that is still open can be completed. Without an open
        # hold, the money must be returned.
        live = [one for one in holds if one.stage == Stage.OPEN]
        if not live:
            return decision(Stage.REFUND_DUE, _sum(paid), settled_at=_latest(paid))
        # Even if only a part is unpaid, the whole order is at risk.
        worth, received = _newest_amounts(live), _sum(paid)
        whole = {c: max(worth.get(c, 0), received.get(c, 0)) for c in worth | received}
        return decision(Stage.OPEN, whole, seats=sum(one.seats for one in live))
    if paid or seated:
        # The amount of a reservation that was paid through the portal is the amount of its payments.
        through_portal = {one.reservation_id for one in paid}
        elsewhere = [
            one for one in seated if not one.payment_id and one.reference not in through_portal
        ]
        seats = sum(one.seats for one in seated)
        settled_at = _latest([*paid, *seated])
        return decision(Stage.PAID, _sum([*paid, *elsewhere]), settled_at=settled_at, seats=seats)

    live = [one for one in holds if one.stage == Stage.OPEN]
    # An open payment with an `until` waits for the buyer. It is not live without a hold, because the buyer can pay only
    # while the hold lasts.
    live += [one for one in payments if one.stage == Stage.OPEN and not (holds and one.until)]
    waiting = [one for one in payments if one.stage == Stage.OPEN]
    if live:
        newest = _newest_amounts([*live, *waiting])
        seats = _newest_seats(live)
        return decision(Stage.OPEN, newest, until=_end(live), seats=seats)
    # If the payment of a completed hold was refunded, the order ended with the refund.
    completed_by = {one.payment_id for one in holds if one.stage == Stage.PAID}
    ended = [one for one in holds if one.stage == Stage.ENDED]
    ended += [one for one in payments if one.reference in completed_by]
    return decision(
        Stage.ENDED,
        _newest_amounts([*payments, *holds]),
        settled_at=_latest(ended or payments) or created_at,
        seats=_newest_seats(holds),
    )


def _sorted(amounts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(amounts.items(), key=lambda item: (-item[1], item[0])))


def _sum(attempts: Iterable[Attempt]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in attempts:
        total[one.currency] = total.get(one.currency, 0) + one.amount
    return total


def _newest_amounts(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Return the amount of the newest attempt in each currency, because repeated attempts are not added up."""
    in_order = sorted(attempts, key=lambda one: (one.created_at, one.kind == "payment"))
    return {one.currency: one.amount for one in in_order if one.currency}


def _newest_seats(attempts: Iterable[Attempt]) -> int:
    by_currency = {
        one.currency: one.seats
        for one in sorted(attempts, key=lambda one: one.created_at)
        if one.kind == "reservation"
    }
    return sum(by_currency.values())


def _latest(attempts: Iterable[Attempt]) -> datetime | None:
    return max((one.settled_at for one in attempts if one.settled_at), default=None)


def _end(attempts: Sequence[Attempt]) -> datetime | None:
    """Return the latest end of the attempts, or None if an attempt has no end."""
    ends = [one.until for one in attempts]
    return None if None in ends else max(end for end in ends if end)
