"""Events and ticket types, reservations, cancelled events, and payments without matching seats (discrepancies)."""

from reservations.models.cancellations import Cancellation, CancellationItem
from reservations.models.catalog import Event, TicketType
from reservations.models.discrepancies import Discrepancy
from reservations.models.holds import Cleanup, HoldExtension, Line, Reservation, Status

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
]
