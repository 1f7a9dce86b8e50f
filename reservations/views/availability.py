"""Serve the availability of tickets to clients that poll it.

The response is cached for one second. A client that already has the current response gets a 304.
"""

import hashlib
import time

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import parse_etags

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.http import problem
from reservations.queries.availability import availability_json

FRESH_SECONDS = 1


@api(Scope.RESERVATIONS, "GET", "HEAD", cache_keys=True)
def availability(request: HttpRequest, app: ClientApp, slug: str = "") -> HttpResponse:
    """Respond with the events that are or will be on sale and their tickets left.

    With a slug, respond with this event only, or with 404 if it is not on sale now or later.
    """
    body, etag = _current(slug)
    if not body:
        return problem(404, "there is no such event on sale")
    headers = {"ETag": etag, "Cache-Control": f"private, max-age={FRESH_SECONDS}"}
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in known or etag in known:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(body, content_type="application/json", headers=headers)


def _current(slug: str) -> tuple[bytes, str]:
    key = f"availability.{slug}"
    cached = cache.get(key)
    if cached and cached[2] > time.time() - FRESH_SECONDS:
        return cached[0], cached[1]
    body = availability_json(slug, now=timezone.now())
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cache.set(key, (body, etag, time.time()), timeout=FRESH_SECONDS + 1)
    return body, etag
