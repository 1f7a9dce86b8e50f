"""Reserve on SQLite, many requests in one transaction: each is decided in memory, in the order they came, by counters
that were read once; what was granted is then written with one statement a table.

The transaction is IMMEDIATE, so nobody else writes between the reading and the writing. `never_oversold` is the arbiter
all the same. The statements are written out because composing them would cost twice what running them does, while all
other writers wait.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from django.db import connection
from django.utils import timezone

from reservations.models import Line, Reservation


class Draft(NamedTuple):
    """A reservation that is not stored yet, and its quantities by ticket type id."""

    reservation: Reservation
    items: tuple[tuple[int, int], ...]


class _Offer(NamedTuple):
    pk: int
    left: int
    price: int
    currency: str
    starts_at: datetime | None  # as SQLite has instants: of UTC, and without saying so
    ends_at: datetime | None
    hold_minutes: int

    def is_open(self, now: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= now) and (
            self.ends_at is None or now < self.ends_at
        )


def reserve(drafts: Sequence[Draft]) -> list[list[Line] | None]:
    """The lines made for each draft (which is filled in), or None where it needs the careful path.

    As for `one_statement` that is: the key is known, or a type is not for sale as it stands, has a limit, or looks
    sold out. Runs inside the caller's transaction.
    """
    # The driver's own cursor: Django's rewrites every statement's placeholders.
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        offers = _offers(cursor, {type_id for draft in drafts for type_id, _ in draft.items})
        granted = _grant(drafts, offers)
        new = _insert(cursor, [draft.reservation for draft in granted]) if granted else {}
        made: dict[int, list[Line]] = {}
        held: Counter[int] = Counter()
        for reservation, items in granted:
            pk = new.get(reservation.uuid.hex)
            if pk is not None:
                reservation.pk = pk
                made[id(reservation)] = [_line(reservation, offers[of], n) for of, n in items]
                held.update(dict(items))
        if made:
            _insert_lines(cursor, [line for lines in made.values() for line in lines])
            cursor.executemany(_HOLD, [(seats, type_id) for type_id, seats in held.items()])
    return [made.get(id(draft.reservation)) for draft in drafts]


def _grant(drafts: Sequence[Draft], offers: dict[int, _Offer]) -> list[Draft]:
    """Those that get their seats; each has its `expires_at` then."""
    left = {pk: offer.left for pk, offer in offers.items()}
    granted = []
    for draft in drafts:
        reservation, items = draft
        now = timezone.make_naive(reservation.created_at, UTC)
        wanted = [offers[pk] for pk, _ in items if pk in offers]
        if (
            len(wanted) < len(items)
            or not all(offer.is_open(now) for offer in wanted)
            or len({offer.currency for offer in wanted}) > 1
            or any(left[pk] < quantity for pk, quantity in items)
        ):
            continue
        for pk, quantity in items:
            left[pk] -= quantity
        hold = timedelta(minutes=min(offer.hold_minutes for offer in wanted))
        reservation.expires_at = reservation.created_at + hold
        granted.append(draft)
    return granted


# The rows come as one JSON text, so that a statement stays the same, and prepared, for any number of them.
_OFFERS = """
SELECT t.id, t.capacity - t.held - t.sold, t.price, t.currency, t.sale_starts_at, t.sale_ends_at, e.hold_minutes
FROM reservations_tickettype t JOIN reservations_event e ON e.id = t.event_id
WHERE e.is_on_sale AND t.per_customer_limit IS NULL AND t.id IN (SELECT value FROM json_each(?))
"""
_RESERVE = """
INSERT INTO reservations_reservation
    (uuid, app_id, idempotency_key, fingerprint, status, customer, order_id, request_id,
     created_at, expires_at, extensions, paid_elsewhere)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
       value->>8, value->>9, 0, ''
FROM json_each(?) WHERE true
ON CONFLICT (app_id, idempotency_key) DO NOTHING RETURNING uuid, id
"""
_LINES = """
INSERT INTO reservations_line (reservation_id, ticket_type_id, quantity, price, currency)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)
RETURNING reservation_id, ticket_type_id, id
"""
_HOLD = "UPDATE reservations_tickettype SET held = held + ? WHERE id = ?"


def _offers(cursor: sqlite3.Cursor, ids: set[int]) -> dict[int, _Offer]:
    """The types that are for sale to anybody, as far as time allows."""
    return {row[0]: _Offer(*row) for row in cursor.execute(_OFFERS, [_as_json(ids)])}


def _insert(cursor: sqlite3.Cursor, reservations: Sequence[Reservation]) -> dict[str, int]:
    """Ids by uuid of those that were new; a known key is passed over, also one that comes twice here."""
    rows = [
        (
            one.uuid.hex, one.app_id, one.idempotency_key, one.fingerprint, one.status, one.customer,
            one.order_id, one.request_id, _moment(one.created_at), _moment(one.expires_at),
        )
        for one in reservations
    ]  # fmt: skip
    return dict(cursor.execute(_RESERVE, [_as_json(rows)]).fetchall())


def _insert_lines(cursor: sqlite3.Cursor, lines: Sequence[Line]) -> None:
    rows = [
        (line.reservation_id, line.ticket_type_id, line.quantity, line.price, line.currency)
        for line in lines
    ]
    made = cursor.execute(_LINES, [_as_json(rows)])
    ids = {(reservation, type_id): pk for reservation, type_id, pk in made}
    for line in lines:
        line.pk = ids[line.reservation_id, line.ticket_type_id]


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _moment(instant: datetime) -> str:
    return str(connection.ops.adapt_datetimefield_value(instant))


def _line(reservation: Reservation, offer: _Offer, quantity: int) -> Line:
    return Line(
        reservation=reservation,
        ticket_type_id=offer.pk,
        quantity=quantity,
        price=offer.price,
        currency=offer.currency,
    )
