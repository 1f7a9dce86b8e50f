"""The public status page. It needs no sign-in, script or session, and works while the database is unavailable."""

import hashlib

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_response_headers
from django.views.decorators.http import require_safe

from core.lib.http import json_response
from health.caches.status import status_cache
from health.queries.public_status import PublicStatus
from health.verdict import Status, Tone

CACHE_SECONDS = 30
CACHE_SECONDS_WHEN_STALE = 5
HEADLINES = {
    Status.HEALTHY.value: (Tone.OK, "All systems operational"),
    Status.DEGRADED.value: (Tone.WARNING, "Some systems are degraded"),
    Status.UNHEALTHY.value: (Tone.CRITICAL, "Major outage"),
}
# The page as last rendered by this process, with the status it shows as its key.
_rendered: dict[tuple[object, bool], bytes] = {}


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    status, is_fresh = status_cache.read(now=timezone.now())
    key = (status.made_at if status else None, is_fresh)
    body = _rendered.get(key)
    if body is None:
        body = render_to_string("health/status.html", _context(status, is_fresh)).encode()
        _rendered.clear()
        _rendered[key] = body
    return _make_cacheable(request, HttpResponse(body), is_fresh)


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    status, is_fresh = status_cache.read(now=timezone.now())
    if status is None:
        return json_response({"status": "unknown", "stale": True}, status=503)
    response = json_response({"stale": not is_fresh, "status": status.status, "data": status})
    response["Access-Control-Allow-Origin"] = "*"
    return _make_cacheable(request, response, is_fresh)


@require_safe
def feed(request: HttpRequest) -> HttpResponse:
    """Return the incidents as an Atom feed, newest first."""
    status, is_fresh = status_cache.read(now=timezone.now())
    incidents = sorted(
        status.incidents if status else [], key=lambda one: one.started_at, reverse=True
    )
    update_times = [update.at for one in incidents for update in one.updates]
    context = {
        "incidents": incidents,
        "updated": max(update_times, default=status.made_at if status else timezone.now()),
        "home": settings.BASE_URL + reverse("health:status-page"),
        "self": settings.BASE_URL + reverse("health:status-feed"),
    }
    body = render_to_string("health/status.atom", context)
    response = HttpResponse(body, content_type="application/atom+xml; charset=utf-8")
    return _make_cacheable(request, response, is_fresh)


def _context(status: PublicStatus | None, is_fresh: bool) -> dict[str, object]:
    tone, headline = HEADLINES.get(status.status if status else "", (Tone.WARNING, ""))
    if status is None:
        headline = "Status unavailable"
    elif not is_fresh:
        tone, headline = Tone.WARNING, "Current status unavailable"
    incidents = status.incidents if status else []
    return {
        "title": "System status",
        "tone": tone,
        "headline": headline,
        "is_fresh": is_fresh,
        "status": status,
        "open_incidents": [one for one in incidents if one.resolved_at is None],
        "past_incidents": [one for one in incidents if one.resolved_at is not None],
        "now": timezone.now(),
    }


def _make_cacheable(request: HttpRequest, response: HttpResponse, is_fresh: bool) -> HttpResponse:
    """Add caching headers, and turn the response into a 304 if the client already has it."""
    seconds = CACHE_SECONDS if is_fresh else CACHE_SECONDS_WHEN_STALE
    patch_response_headers(response, seconds)
    response["Cache-Control"] = f"public, max-age={seconds}, stale-if-error=86400"
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:24]}"'
    if request.headers.get("If-None-Match") == response["ETag"]:
        response.status_code, response.content = 304, b""
    return response
