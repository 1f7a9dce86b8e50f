"""Reserve tickets for many requests in one transaction on SQLite.

The transaction is IMMEDIATE, so no other connection writes between its first read and its last write. The functions
read the number of free tickets once, decide about the requests in memory in the order of their arrival, and write the
granted requests with one statement per table. The check constraint `never_oversold` applies here as well. The SQL is
built only once, because all other writers would wait while each call built it again.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

from reservations.models import Line, Reservation, TicketType
from reservations.services.reserve_sql import (
    LINE_COLUMNS,
    RESERVATION_COLUMNS,
    insert_lines,
    insert_reservations,
    placeholder,
    select_offers,
)


class Draft(NamedTuple):
    """A reservation that is not stored yet, and its quantities by ticket type id."""

    reservation: Reservation
    items: tuple[tuple[int, int], ...]


class _Offer(NamedTuple):
    """A ticket type that is on sale during the whole batch, has no limit per customer, and has no waiting customers."""

    pk: int
    free: int
    price: int
    currency: str
    hold_minutes: int


def reserve(drafts: Sequence[Draft]) -> list[list[Line] | None]:
    """Store the drafts and return the lines of each, or None for a draft that only reserve.py can handle.

    A draft needs reserve.py if its key exists, if its types have different currencies, or if a type is not on sale, has
    a limit per customer or waiting customers, or seems to be sold out. The function runs in the caller's transaction.
    """
    # Use the driver's own cursor, because Django's cursor rewrites the placeholders of every statement.
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        offers = _read_offers(cursor, drafts)
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
    """Set `expires_at` of the drafts for which enough tickets are left, and return these drafts.

    Earlier drafts get their tickets first.
    """
    free = {pk: offer.free for pk, offer in offers.items()}
    granted = []
    for draft in drafts:
        reservation, items = draft
        wanted = [offers[pk] for pk, _ in items if pk in offers]
        if (
            len(wanted) < len(items)
            or len({offer.currency for offer in wanted}) > 1
            or any(free[pk] < quantity for pk, quantity in items)
        ):
            continue
        for pk, quantity in items:
            free[pk] -= quantity
        hold = timedelta(minutes=min(offer.hold_minutes for offer in wanted))
        reservation.expires_at = reservation.created_at + hold
        granted.append(draft)
    return granted


_HOLD = "UPDATE reservations_tickettype SET held = held + ? WHERE id = ?"


# The statements below take their rows as one JSON string, so that the same prepared statement serves any number of
# rows.


@cache
def _offers_sql() -> str:
    """Return SQL that selects the types on sale at the time of the first and of the last request of a batch."""
    types = TicketType.objects.on_sale(placeholder(":first")).on_sale(placeholder(":last"))
    wanted = "SELECT value FROM json_each(:ids)"
    return f"SELECT * FROM ({select_offers(types)}) WHERE id IN ({wanted})"  # noqa: S608  all constants


@cache
def _insert_sql() -> str:
    return insert_reservations(
        [f"value->>{index}" for index in range(len(RESERVATION_COLUMNS))],
        # Without WHERE, SQLite parses ON CONFLICT as the ON of a join.
        source="json_each(?) WHERE true",
        returning="uuid, id",
    )


@cache
def _insert_lines_sql() -> str:
    return insert_lines(
        [f"value->>{index}" for index in range(len(LINE_COLUMNS))],
        source="json_each(?)",
        returning="reservation_id, ticket_type_id, id",
    )


def _read_offers(cursor: sqlite3.Cursor, drafts: Sequence[Draft]) -> dict[int, _Offer]:
    instants = [draft.reservation.created_at for draft in drafts]
    parameters = {
        "first": _to_sqlite(min(instants)),
        "last": _to_sqlite(max(instants)),
        "ids": _to_json({type_id for draft in drafts for type_id, _ in draft.items}),
    }
    return {row[0]: _Offer(*row) for row in cursor.execute(_offers_sql(), parameters)}


def _insert(cursor: sqlite3.Cursor, reservations: Sequence[Reservation]) -> dict[str, int]:
    """Insert the reservations and return the new ids by uuid.

    A reservation is left out if its key exists, or occurs earlier in this batch.
    """
    rows = [
        [_to_sqlite(getattr(reservation, column)) for column in RESERVATION_COLUMNS]
        for reservation in reservations
    ]
    return dict(cursor.execute(_insert_sql(), [_to_json(rows)]).fetchall())


def _insert_lines(cursor: sqlite3.Cursor, lines: Sequence[Line]) -> None:
    rows = [[getattr(line, column) for column in LINE_COLUMNS] for line in lines]
    made = cursor.execute(_insert_lines_sql(), [_to_json(rows)])
    ids = {(reservation, type_id): pk for reservation, type_id, pk in made}
    for line in lines:
        line.pk = ids[line.reservation_id, line.ticket_type_id]


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _to_sqlite(value: object) -> object:
    """Convert the value to the format in which Django stores it in SQLite."""
    if isinstance(value, datetime):
        return str(connection.ops.adapt_datetimefield_value(value))
    if isinstance(value, UUID):
        return value.hex
    return value


def _line(reservation: Reservation, offer: _Offer, quantity: int) -> Line:
    return Line(
        reservation=reservation,
        ticket_type_id=offer.pk,
        quantity=quantity,
        price=offer.price,
        currency=offer.currency,
    )
