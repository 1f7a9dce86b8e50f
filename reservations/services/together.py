"""Reserve on SQLite, many requests in one transaction: each is decided in memory, in the order they came, by counters
that were read once; what was granted is then written with one statement a table.

The transaction is IMMEDIATE, so nobody else writes between the reading and the writing. `never_oversold` is the arbiter
all the same. The statements are written out because composing them would cost twice what running them does, while all
other writers wait.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from reservations.models import Line, Reservation

Value = int | str


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
    offers = _offers({type_id for draft in drafts for type_id, _ in draft.items})
    new = _insert([draft.reservation for draft in _grant(drafts, offers)])
    outcomes: list[list[Line] | None] = []
    held: Counter[int] = Counter()
    for reservation, items in drafts:
        pk = new.get(reservation.uuid.hex)
        if pk is None:
            outcomes.append(None)
            continue
        reservation.pk = pk
        outcomes.append([_line(reservation, offers[type_id], n) for type_id, n in items])
        held.update(dict(items))
    _insert_lines([line for lines in outcomes if lines for line in lines])
    with connection.cursor() as cursor:
        for type_id, quantity in held.items():
            cursor.execute(_HOLD, [quantity, type_id])
    return outcomes


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


_OFFERS = """
SELECT t.id, t.capacity - t.held - t.sold, t.price, t.currency, t.sale_starts_at, t.sale_ends_at, e.hold_minutes
FROM reservations_tickettype t JOIN reservations_event e ON e.id = t.event_id
WHERE e.is_on_sale AND t.per_customer_limit IS NULL AND t.id IN ({})
"""
_RESERVE = """
INSERT INTO reservations_reservation
    (uuid, app_id, idempotency_key, fingerprint, status, customer, order_id, request_id,
     created_at, expires_at, extensions, paid_elsewhere)
VALUES {} ON CONFLICT (app_id, idempotency_key) DO NOTHING RETURNING uuid, id
"""
_LINES = """
INSERT INTO reservations_line (reservation_id, ticket_type_id, quantity, price, currency)
VALUES {} RETURNING reservation_id, ticket_type_id, id
"""
_HOLD = "UPDATE reservations_tickettype SET held = held + %s WHERE id = %s"


def _offers(ids: Collection[int]) -> dict[int, _Offer]:
    """The types that are for sale to anybody, as far as time allows."""
    places = ", ".join(["%s"] * len(ids))
    return {row[0]: _Offer(*row) for row in _run(_OFFERS.format(places), list(ids))}


def _insert(reservations: Sequence[Reservation]) -> dict[str, int]:
    """Ids by uuid of those that were new; a known key is passed over, also one that comes twice here."""
    rows = [
        (
            one.uuid.hex, one.app_id, one.idempotency_key, one.fingerprint, one.status, one.customer,
            one.order_id, one.request_id, _moment(one.created_at), _moment(one.expires_at), 0, "",
        )
        for one in reservations
    ]  # fmt: skip
    return dict(_run_with(_RESERVE, rows))


def _insert_lines(lines: Sequence[Line]) -> None:
    rows = [
        (line.reservation_id, line.ticket_type_id, line.quantity, line.price, line.currency)
        for line in lines
    ]
    ids = {(made[0], made[1]): made[2] for made in _run_with(_LINES, rows)}
    for line in lines:
        line.pk = ids[line.reservation_id, line.ticket_type_id]


def _line(reservation: Reservation, offer: _Offer, quantity: int) -> Line:
    return Line(
        reservation=reservation,
        ticket_type_id=offer.pk,
        quantity=quantity,
        price=offer.price,
        currency=offer.currency,
    )


def _moment(instant: datetime) -> str:
    return str(connection.ops.adapt_datetimefield_value(instant))


def _run_with(sql: str, rows: Sequence[Sequence[Value]]) -> list[tuple[Any, ...]]:
    """What the statement returns for these rows of values; nothing for none."""
    if not rows:
        return []
    places = f"({', '.join(['%s'] * len(rows[0]))})"
    values = [value for row in rows for value in row]
    return _run(sql.format(", ".join([places] * len(rows))), values)


def _run(sql: str, parameters: Sequence[Value]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
