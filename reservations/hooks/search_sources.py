"""Add reservations and events to the portal's search."""

from collections.abc import Iterator

from django.db.models import F, Q
from django.urls import reverse

from core.lib.app_access import limit
from core.lib.customers import customer_references
from core.lib.search_sources import MAX_HITS, Hit, Search, has_value, search_source
from core.lib.uuids import parse_uuids
from reservations.models import Event, Reservation


@search_source(
    "reservations.reservations",
    title="Reservations",
    permission="reservations.view_reservation",
    order=210,
    respects_apps=True,
)
def find_reservations(search: Search) -> Iterator[Hit]:
    """Find reservations by customer, or by a complete reservation, order or request id."""
    text = search.text
    condition = has_value("order_id", text) | has_value("request_id", text)
    for customer in customer_references(text) if "@" in text else [text]:
        condition |= has_value("customer", customer)
    for reference in parse_uuids([text]):
        condition |= Q(uuid=reference)
    for one in limit(Reservation.objects.filter(condition)).order_by("-created_at", "-pk")[
        :MAX_HITS
    ]:
        url = reverse("reservations:reservation-page", args=[one.uuid])
        title = f"Order {one.order_id}" if one.order_id else f"Reservation {one.uuid}"
        yield Hit(title, url, one.shown_status(search.now).replace("_", " "), is_exact=True)


@search_source(
    "reservations.events",
    title="Events",
    permission="reservations.view_event",
    order=300,
    respects_apps=True,
)
def find_events(search: Search) -> Iterator[Hit]:
    condition = Q()
    for word in search.text.split():
        condition &= Q(name__icontains=word) | Q(slug__icontains=word)
    latest_first = F("starts_at").desc(nulls_last=True)
    for event in Event.objects.filter(condition).order_by(latest_first, "name")[:MAX_HITS]:
        url = reverse("reservations:event-page", args=[event.slug])
        yield Hit(event.name, url, event.slug, event.slug == search.text)
