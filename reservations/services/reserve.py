"""Hold tickets for a buyer.

A request holds all of its tickets or none. Repeating it with the same idempotency key creates no second hold.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, OperationalError, connection, transaction

from core.clients.models import ClientApp
from core.lib import request_id
from core.lib.durability import ensure_replicated
from core.lib.fingerprints import is_same_request, keyed_fingerprint
from core.lib.group_commit import GroupCommit
from reservations.models import Line, Reservation, TicketType
from reservations.services import reserve_postgresql, reserve_sqlite
from reservations.services.customers import recognize_customer
from reservations.services.locks import set_lock_timeout
from reservations.services.release import reclaim

MAX_ROUNDS = 3


@dataclass(frozen=True)
class Wanted:
    """A buyer's normalized request.

    `items` are pairs of a ticket type's id and a quantity, by ascending id. `digest` is the SHA-256 of the request's
    content. `earlier_customers` are the customer's references under earlier values of SECRET_KEY.
    """

    items: tuple[tuple[int, int], ...]
    customer: str
    order_id: str
    key: str
    digest: str
    earlier_customers: Sequence[str] = ()


@dataclass(frozen=True)
class Reserved:
    """A new reservation, or the existing reservation if the request was a repetition."""

    reservation: Reservation
    lines: Sequence[Line]
    is_new: bool


class SoldOut(Exception):
    """Not enough tickets of one type are left, so nothing was reserved."""

    def __init__(self, ticket_type: TicketType, *, left: int, wanted: int) -> None:
        super().__init__(f"{ticket_type.name}: {left} left")
        self.ticket_type = ticket_type
        self.left = left
        self.is_final = left < wanted


class Busy(Exception):
    """Concurrent buyers locked the type for too long or took the released tickets. The client can safely try again."""


class NotOnSale(Exception):
    """A ticket type is not on sale now, or the types have different currencies."""


class UnknownTicketType(Exception):
    """There is no ticket type with this id."""


class KeyReused(Exception):
    """The idempotency key was used for a different request before."""


class CustomerMissing(Exception):
    """The ticket type has a limit per customer, and the request does not name the customer."""


class LimitReached(Exception):
    """The customer would have more tickets than the type allows."""

    def __init__(self, ticket_type: TicketType, limit: int, owned: int) -> None:
        super().__init__(f"{ticket_type.name}: at most {limit} per customer")
        self.ticket_type = ticket_type
        self.limit = limit
        self.owned = owned


def reserve(*, app: ClientApp, wanted: Wanted, now: datetime) -> Reserved:
    """Hold the wanted tickets, or return the existing reservation if the key was used before.

    Raises SoldOut if too few tickets are left, and LimitReached or CustomerMissing if a limit per customer prevents the
    reservation. Raises NotOnSale or UnknownTicketType for types that cannot be bought, KeyReused if the key belongs to
    a different request, and Busy if concurrent buyers lock the types for too long or take the released tickets. The key
    of a refused request can be used again.
    """
    recognize_customer(customer=wanted.customer, earlier=wanted.earlier_customers)
    draft = Reservation(
        uuid=uuid.uuid4(),
        app=app,
        idempotency_key=wanted.key,
        fingerprint=keyed_fingerprint(wanted.digest),
        customer=wanted.customer,
        order_id=wanted.order_id,
        request_id=request_id.current(),
        created_at=now,
    )
    try:
        if connection.vendor == "sqlite":
            return _group.run((draft, wanted))
        return _reserve_on_postgresql(draft, wanted)
    except OperationalError as error:
        if _is_lock_timeout(error):
            raise Busy from error
        raise


def _reserve_on_postgresql(draft: Reservation, wanted: Wanted) -> Reserved:
    if len(wanted.items) == 1:
        [(type_id, quantity)] = wanted.items
        line = reserve_postgresql.reserve(draft, type_id=type_id, quantity=quantity)
        if line is not None:
            return Reserved(draft, [line], is_new=True)
    return _reserve_step_by_step(draft, wanted)


def _reserve_batch(requests: Sequence[tuple[Reservation, Wanted]]) -> list[Reserved | Exception]:
    made = reserve_sqlite.reserve(
        [reserve_sqlite.Draft(draft, wanted.items) for draft, wanted in requests]
    )
    outcomes: list[Reserved | Exception] = []
    for (draft, wanted), lines in zip(requests, made, strict=True):
        if lines is not None:
            outcomes.append(Reserved(draft, lines, is_new=True))
            continue
        try:
            outcomes.append(_reserve_step_by_step(draft, wanted))
        except OperationalError:
            raise
        except Exception as refusal:
            outcomes.append(refusal)
    return outcomes


_group = GroupCommit(_reserve_batch)


def _reserve_step_by_step(draft: Reservation, wanted: Wanted) -> Reserved:
    """Reserve in several statements, which handle all situations and raise the reason for a refusal."""
    now = draft.created_at
    try:
        types = _load_types_on_sale(wanted, now)
    except (NotOnSale, UnknownTicketType):
        # The request may repeat one that succeeded while the type was on sale. For types on sale, `_hold` finds
        # repetitions.
        repeat = _find_repeat(draft, wanted)
        if repeat is None:
            raise
        return repeat
    for _ in range(MAX_ROUNDS):
        try:
            return _hold(draft, wanted, types, now)
        except SoldOut as refusal:
            if refusal.is_final:
                raise
            # Enough tickets are left once expired holds are released, so release them and try again.
            reclaim(ticket_type_ids=[type_.pk for type_ in types], now=now)
    # Concurrent buyers took the released tickets in every round. Raise Busy and not SoldOut, because tickets may still
    # be left for another attempt.
    raise Busy


def _find_repeat(draft: Reservation, wanted: Wanted) -> Reserved | None:
    existing = Reservation.objects.filter(
        app=draft.app, idempotency_key=draft.idempotency_key
    ).first()  # fmt: skip
    if existing is None:
        return None
    if not is_same_request(existing.fingerprint, wanted.digest):
        raise KeyReused
    ensure_replicated()
    return Reserved(existing, list(existing.lines.select_related("ticket_type")), is_new=False)


def _load_types_on_sale(wanted: Wanted, now: datetime) -> list[TicketType]:
    """Return the wanted types in ascending order of id.

    Raises UnknownTicketType if a type does not exist. Raises NotOnSale if a type is not on sale, or if the types have
    different currencies.
    """
    ids = {type_id for type_id, _ in wanted.items}
    wanted_types = TicketType.objects.filter(pk__in=ids).select_related("event").order_by("pk")
    types = list(wanted_types.on_sale(now))
    if len(types) < len(ids):
        known = wanted_types.in_bulk()
        for type_id in sorted(ids - known.keys()):
            raise UnknownTicketType(f"there is no ticket type with the id {type_id}")
        closed = min(ids - {type_.pk for type_ in types})
        raise NotOnSale(f"{known[closed]} is not on sale")
    if len({type_.currency for type_ in types}) > 1:
        raise NotOnSale("these ticket types are sold in different currencies")
    return types


def hold_for_waiting_buyer(
    draft: Reservation, wanted: Wanted, type_: TicketType, *, length: timedelta
) -> Reserved:
    """Hold tickets for a waiting customer, as an offer that lasts for `length`.

    Raises SoldOut if too few tickets are left, and LimitReached if the customer would have too many tickets.
    """
    return _hold(draft, wanted, [type_], draft.created_at, length=length)


def _hold(
    draft: Reservation,
    wanted: Wanted,
    types: Sequence[TicketType],
    now: datetime,
    *,
    length: timedelta | None = None,
) -> Reserved:
    """Store the reservation and hold its tickets, or return the existing reservation of a repeated request.

    With `length`, the hold is an offer to a waiting customer and ignores the waiting list. Raises SoldOut,
    LimitReached, CustomerMissing or KeyReused, and then stores nothing.
    """
    quantities = dict(wanted.items)
    take = TicketType.objects.all().hold_first if length else TicketType.objects.all().hold
    try:
        with transaction.atomic():
            set_lock_timeout()
            draft.pk = None
            draft.expires_at = now + (length or min(type_.event.hold for type_ in types))
            draft.save(force_insert=True)
            for type_ in types:
                quantity = quantities[type_.pk]
                if not take(type_.pk, quantity):
                    raise SoldOut(type_, left=_count_left(type_, now), wanted=quantity)
                enforce_limit(type_, wanted.customer, quantity, now)
            lines = [
                Line(
                    reservation=draft,
                    ticket_type=type_,
                    quantity=quantities[type_.pk],
                    price=type_.price,
                    currency=type_.currency,
                )
                for type_ in types
            ]
            Line.objects.bulk_create(lines)
    except IntegrityError:
        # A concurrent request with the same key inserted its reservation first.
        repeat = _find_repeat(draft, wanted)
        if repeat is None:
            raise
        return repeat
    return Reserved(draft, lines, is_new=True)


def enforce_limit(type_: TicketType, customer: str, quantity: int, now: datetime) -> None:
    """Raise LimitReached if the customer would exceed the type's limit, or CustomerMissing if `customer` is empty.

    Do nothing if the type has no limit. The caller has locked the ticket type's row, so that two concurrent requests of
    one customer are both counted.
    """
    limit = type_.per_customer_limit
    if limit is None:
        return
    if not customer:
        raise CustomerMissing(f"{type_.name} has a limit per customer, so the customer is required")
    owned = type_.lines.all().owned_by(customer, now).seats()
    if owned + quantity > limit:
        raise LimitReached(type_, limit, owned)


def _count_left(type_: TicketType, now: datetime) -> int:
    return TicketType.objects.filter(pk=type_.pk).available(now)[type_.pk]


def _is_lock_timeout(error: OperationalError) -> bool:
    cause = error.__cause__
    # 55P03 is lock_not_available; SQLite reports "locked" when its busy timeout expires.
    return getattr(cause, "sqlstate", "") == "55P03" or "locked" in str(error)
