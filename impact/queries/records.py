"""Read the payments and reservations of orders, for display on pages."""

from collections.abc import Iterable
from dataclasses import dataclass

from impact.extension_points import Wanted, order_sources


@dataclass(frozen=True)
class Record:
    """A payment or a reservation, ready to display."""

    kind: str
    reference: str
    state: str
    amount: int
    currency: str
    seats: int
    url: str


def records(wanted: Wanted, *, kinds: Iterable[str] = ("payment", "reservation")) -> list[Record]:
    """Return the wanted records of these kinds, oldest first."""
    found = [
        (attempt, source.page(attempt.reference))
        for source in order_sources
        if source.kind in kinds
        for attempt in source.load(wanted)
    ]
    return [
        Record(one.kind, one.reference, one.status, one.amount, one.currency, one.seats, url)
        for one, url in sorted(found, key=lambda pair: (pair[0].created_at, pair[0].reference))
    ]
