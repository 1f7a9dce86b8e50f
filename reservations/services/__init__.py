"""Everything that changes a reservation.

One order of locks everywhere, so that no deadlock is possible: reservation rows first, then ticket types, each by
ascending id. Locks on a hot ticket type are so taken last and held shortest.
"""

from reservations.services.complete import complete
from reservations.services.discrepancies import settle
from reservations.services.hold import CannotChange, cancel, extend
from reservations.services.integrity import check_integrity
from reservations.services.paid import complete_paid, handle_refund
from reservations.services.release import Released, reclaim, release_expired
from reservations.services.reserve import (
    Busy,
    CustomerMissing,
    KeyReused,
    LimitReached,
    NotOnSale,
    Reserved,
    SoldOut,
    UnknownTicketType,
    Wanted,
    reserve,
)

__all__ = [
    "Busy",
    "CannotChange",
    "CustomerMissing",
    "KeyReused",
    "LimitReached",
    "NotOnSale",
    "Released",
    "Reserved",
    "SoldOut",
    "UnknownTicketType",
    "Wanted",
    "cancel",
    "check_integrity",
    "complete",
    "complete_paid",
    "extend",
    "handle_refund",
    "reclaim",
    "release_expired",
    "reserve",
    "settle",
]
