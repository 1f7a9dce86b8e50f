"""Change reservations.

To prevent deadlocks, all functions lock rows in the same order: reservations first, then ticket types, each by
ascending id. Ticket types come last because many buyers want the same type, which is therefore locked for a short time.
"""

from reservations.services.accept import accept_amount
from reservations.services.cancel_event import (
    AlreadyCancelled,
    cancel_event,
    continue_cancellations,
    retry_failed,
)
from reservations.services.complete import complete
from reservations.services.discrepancies import settle
from reservations.services.hold import CannotChange, cancel, extend
from reservations.services.integrity import check_integrity
from reservations.services.outages import extend_during_outage
from reservations.services.paid import (
    complete_paid,
    handle_closed_dispute,
    handle_failed_refund,
    handle_refund,
    release_refunded,
)
from reservations.services.partial import review_partial_payments
from reservations.services.processing import follow_processing
from reservations.services.release import Released, reclaim, release_expired, release_sold
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
from reservations.services.waiting import (
    Joined,
    MoreThanCapacity,
    NotSoldOut,
    NoWaitingList,
    join,
    leave,
    offer_tickets,
    remove_from_waiting_lists,
)

__all__ = [
    "AlreadyCancelled",
    "Busy",
    "CannotChange",
    "CustomerMissing",
    "Joined",
    "KeyReused",
    "LimitReached",
    "MoreThanCapacity",
    "NoWaitingList",
    "NotOnSale",
    "NotSoldOut",
    "Released",
    "Reserved",
    "SoldOut",
    "UnknownTicketType",
    "Wanted",
    "accept_amount",
    "cancel",
    "cancel_event",
    "check_integrity",
    "complete",
    "complete_paid",
    "continue_cancellations",
    "extend",
    "extend_during_outage",
    "follow_processing",
    "handle_closed_dispute",
    "handle_failed_refund",
    "handle_refund",
    "join",
    "leave",
    "offer_tickets",
    "reclaim",
    "release_expired",
    "release_refunded",
    "release_sold",
    "remove_from_waiting_lists",
    "reserve",
    "retry_failed",
    "review_partial_payments",
    "settle",
]
