"""Find ticket types whose counters do not match their reservations."""

from dataclasses import dataclass

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from alerts.models import SystemAlert
from reservations.models import Status, TicketType

DRIFT_ALERT_KEY = "reservations.drift"


@dataclass(frozen=True)
class Drift:
    """A ticket type whose counters are wrong, with the correct counts from its reservations."""

    ticket_type: TicketType
    held: int
    sold: int

    def __str__(self) -> str:
        type_ = self.ticket_type
        return f"{type_}: held {type_.held}, expected {self.held}; sold {type_.sold}, expected {self.sold}"


def has_drift_alert() -> bool:
    """Return True if the last check of the counters, which runs every 15 minutes, found a wrong one."""
    return SystemAlert.objects.unresolved().filter(key=DRIFT_ALERT_KEY).exists()


def find_drift() -> list[Drift]:
    """Return the ticket types whose `held` or `sold` differs from the tickets in their reservations.

    This reads all reservations, so a page that refreshes itself uses `has_drift_alert`.
    """
    held = Sum("lines__quantity", filter=Q(lines__reservation__status=Status.ACTIVE))
    kept = F("lines__quantity") - F("lines__released")
    sold = Sum(kept, filter=Q(lines__reservation__status=Status.COMPLETED))
    wrong = (
        TicketType.objects.annotate(by_holds=Coalesce(held, 0), by_sales=Coalesce(sold, 0))
        .exclude(held=F("by_holds"), sold=F("by_sales"))
        .order_by("pk")
    )
    found = list(wrong.values_list("pk", "by_holds", "by_sales"))
    if not found:
        return []
    types = TicketType.objects.select_related("event").in_bulk([pk for pk, _, _ in found])
    return [Drift(types[pk], held, sold) for pk, held, sold in found]
