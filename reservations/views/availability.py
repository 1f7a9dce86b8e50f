"""What is left, for thousands of buyers who keep asking: computed once a second, 304 for whoever knows it already."""

import hashlib
import time

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import parse_etags

from opsportal.clients.api import api
from opsportal.clients.models import ClientApp, Scope
from opsportal.lib.http import problem
from reservations.queries.availability import availability_json

FRESH_SECONDS = 1


@api(Scope.RESERVATIONS, "GET", "HEAD", remembers_keys=True)
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
    body = availability_json(slug, now=timezone.now())
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cache.set(key, (body, etag, time.time()), timeout=FRESH_SECONDS + 1)
    return body, etag
