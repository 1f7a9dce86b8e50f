"""Define events, ticket types, reservations, waiting lists, cancelled events, and payments without matching seats."""

from reservations.models.cancellations import Cancellation, CancellationItem
from reservations.models.catalog import Event, TicketType
from reservations.models.discrepancies import Discrepancy
from reservations.models.holds import Cleanup, HoldExtension, Line, Reservation, Status
from reservations.models.waiting import WaitingEntry

__all__ = [
    "Cancellation",
    "CancellationItem",
    "Cleanup",
    "Discrepancy",
    "Event",
    "HoldExtension",
    "Line",
    "Reservation",
    "Status",
    "TicketType",
    "WaitingEntry",
]
