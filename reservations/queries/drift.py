"""Find ticket types whose counters do not match their reservations."""

from dataclasses import dataclass

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from reservations.models import Status, TicketType


@dataclass(frozen=True)
class Drift:
    """A ticket type whose counters are wrong, with the correct counts from its reservations."""

    ticket_type: TicketType
    held: int
    sold: int

    def __str__(self) -> str:
        type_ = self.ticket_type
        return f"{type_}: held {type_.held}, expected {self.held}; sold {type_.sold}, expected {self.sold}"


def find_drift() -> list[Drift]:
    """Return the ticket types whose `held` or `sold` differs from the tickets in their reservations."""
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
