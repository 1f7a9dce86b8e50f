"""Report edits of events and starts of ticket sales as possible causes of a problem."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import reverse

from impact.causes import CauseKind, Change, Onset
from impact.extension_points import cause_source
from impact.queries.causes import list_edits
from reservations.models import TicketType

MODELS = {"reservations.event": "Event"}  # Edits of ticket types count as edits of their event.
MAX_SALES = 20


def _about(event: Any) -> Iterable[str]:
    """Return the event's label as alerts show it, so that a cause and an alert about the same event match."""
    return [f"event {event.slug}"]


@cause_source("reservations.settings")
def settings(onset: Onset) -> Iterator[Change]:
    return list_edits(onset, MODELS, about=_about)


@cause_source("reservations.sales")
def sales(onset: Onset) -> Iterator[Change]:
    """Yield the ticket sales that started before the problem, because a new sale brings more visitors than usual."""
    begun = TicketType.objects.filter(
        sale_starts_at__gte=onset.since,
        sale_starts_at__lte=onset.at,
        event__is_on_sale=True,
        event__cancelled_at=None,
    )
    for type_ in begun.select_related("event").order_by("-sale_starts_at")[:MAX_SALES]:
        if type_.sale_starts_at is not None:
            yield Change(
                CauseKind.TRAFFIC,
                f"Sale of {type_} began",
                type_.sale_starts_at,
                url=reverse("reservations:event-page", args=[type_.event.slug]),
                subjects=frozenset(_about(type_.event)),
            )
