"""Events and ticket types (catalog), reservations (holds), and payments without matching seats (discrepancies)."""

from reservations.models.catalog import Event, TicketType
from reservations.models.discrepancies import Discrepancy
from reservations.models.holds import Cleanup, Line, Reservation, Status

__all__ = ["Cleanup", "Discrepancy", "Event", "Line", "Reservation", "Status", "TicketType"]
