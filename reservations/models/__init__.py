"""What is sold (catalog), who holds or has it (holds), and where money and seat disagree (discrepancies)."""

from reservations.models.catalog import Event, TicketType
from reservations.models.discrepancies import Discrepancy
from reservations.models.holds import Cleanup, Line, Reservation, Status

__all__ = ["Cleanup", "Discrepancy", "Event", "Line", "Reservation", "Status", "TicketType"]
