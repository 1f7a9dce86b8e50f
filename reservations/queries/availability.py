"""Encode the events on sale and their tickets left as JSON for the API."""

from datetime import datetime

import msgspec
from django.db.models import F

from reservations.models import Event, TicketType


def availability_json(slug: str, *, now: datetime) -> bytes:
    """Return, as JSON, all events that are or will be on sale, or the event with this slug.

    Return b"" if a slug is given and no such event is or will be on sale.
    """
    events = Event.objects.announced(now).order_by(F("starts_at").asc(nulls_last=True), "pk")
    if slug:
        events = events.filter(slug=slug)
    types = TicketType.objects.filter(event__in=events)
    left = types.available(now)
    on_sale = set(types.on_sale(now).values_list("pk", flat=True))
    by_event: dict[int, list[dict[str, object]]] = {}
    for type_ in types.select_related("event").order_by("pk"):
        event = type_.event
        by_event.setdefault(type_.event_id, []).append(
            {
                "ticket_type": type_.pk,
                "name": type_.name,
                "price": type_.price,
                "currency": type_.currency,
                "on_sale": type_.pk in on_sale,
                "sale_starts_at": type_.sale_starts_at,
                "sale_ends_at": type_.sale_ends_at or event.starts_at,
                "left": left[type_.pk],
                "is_low": left[type_.pk] <= type_.low_at,
                "per_customer_limit": type_.per_customer_limit,
                "waiting_list": type_.has_waiting_list,
            }
        )
    shown = [
        {
            "event": event.slug,
            "name": event.name,
            "starts_at": event.starts_at,
            "ticket_types": by_event[event.pk],
        }
        for event in events
        if event.pk in by_event
    ]
    if slug:
        return msgspec.json.encode(shown[0]) if shown else b""
    return msgspec.json.encode({"events": shown})
