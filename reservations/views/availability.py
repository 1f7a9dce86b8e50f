"""What is left, for thousands of buyers who keep asking: computed once a second, 304 for whoever knows it already."""

import hashlib
import time
from datetime import datetime

import msgspec
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import parse_etags

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.http import problem
from reservations.models import Event, TicketType

FRESH_SECONDS = 1


@api(Scope.RESERVATIONS, "GET", "HEAD", cache_keys=True)
def availability(request: HttpRequest, app: ClientApp, slug: str = "") -> HttpResponse:
    """Events on sale with their ticket types, prices and what is left; one event when its slug is given."""
    body, etag = _current(slug)
    if not body:
        return problem(404, "no such event on sale")
    headers = {"ETag": etag, "Cache-Control": f"private, max-age={FRESH_SECONDS}"}
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in known or etag in known:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(body, content_type="application/json", headers=headers)


def _current(slug: str) -> tuple[bytes, str]:
    key = f"availability.{slug}"
    kept = cache.get(key)
    if kept and kept[2] > time.time() - FRESH_SECONDS:
        return kept[0], kept[1]
    body = _body(slug, timezone.now())
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cache.set(key, (body, etag, time.time()), timeout=FRESH_SECONDS + 1)
    return body, etag


def _body(slug: str, now: datetime) -> bytes:
    events = Event.objects.on_sale().order_by("starts_at", "pk")
    if slug:
        events = events.filter(slug=slug)
    types = TicketType.objects.filter(event__in=events)
    left = types.available(now)
    by_event: dict[int, list[dict[str, object]]] = {}
    for type_ in types.select_related("event").order_by("pk"):
        by_event.setdefault(type_.event_id, []).append(
            {
                "ticket_type": type_.pk,
                "name": type_.name,
                "price": type_.price,
                "currency": type_.currency,
                "on_sale": type_.is_on_sale(now),
                "left": left[type_.pk],
                "is_low": left[type_.pk] <= type_.low_at,
                "per_customer_limit": type_.per_customer_limit,
            }
        )
    shown = [
        {
            "event": event.slug,
            "name": event.name,
            "starts_at": event.starts_at,
            "ticket_types": by_event.get(event.pk, []),
        }
        for event in events
    ]
    if slug:
        return msgspec.json.encode(shown[0]) if shown else b""
    return msgspec.json.encode({"events": shown})
