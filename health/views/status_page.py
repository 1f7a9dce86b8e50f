"""Serve the public status page, which needs no sign-in, scripts or session.

Only the history and the logo need the database.
"""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import patch_response_headers, patch_vary_headers
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from core.lib.http import accepts_gzip, json_response
from health.badges import render_badge
from health.caches.status import status_cache
from health.colors import write_style_sheet
from health.models import DEFAULT_NAME, StatusPage
from health.public_urls import absolute_url
from health.queries.public_status import (
    NEVER,
    PublicGroup,
    PublicPage,
    PublicStatus,
    load_incident_history,
)
from health.verdict import Status, Tone

CACHE_SECONDS = 30
CACHE_SECONDS_WHEN_STALE = 5
LOGO_CACHE_SECONDS = 86400
# If more components than this have no group, the page collapses the list of working components.
MAX_UNGROUPED = 12
HEADLINES = {
    Status.HEALTHY.value: (Tone.OK, "All systems operational"),
    Status.DEGRADED.value: (Tone.WARNING, "Some systems are degraded"),
    Status.UNHEALTHY.value: (Tone.CRITICAL, "Major outage"),
}
PARTIAL_OUTAGE = (Tone.WARNING, "Partial outage")


@dataclass(frozen=True)
class _Body:
    """The body of a response, which is compressed for the first client that accepts compression."""

    plain: bytes

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.plain, 6, mtime=0)

    @cached_property
    def tag(self) -> str:
        return hashlib.sha256(self.plain).hexdigest()[:24]


# Maps the name of a response to its last body, and to the status that the body shows.
_rendered: dict[str, tuple[tuple[object, bool], _Body]] = {}


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    status, is_fresh = status_cache.read(now=timezone.now())
    body = _render("page", status, is_fresh, _render_page)
    return _respond(request, body, "text/html; charset=utf-8", is_fresh)


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    status, is_fresh = status_cache.read(now=timezone.now())
    if status is None:
        return json_response({"status": "unknown", "stale": True}, status=503)
    response = _respond(
        request, _render("json", status, is_fresh, _render_json), "application/json", is_fresh
    )
    response["Access-Control-Allow-Origin"] = "*"
    return response


@require_safe
def feed(request: HttpRequest) -> HttpResponse:
    """Return the incidents as an Atom feed, newest first."""
    status, is_fresh = status_cache.read(now=timezone.now())
    body = _render("feed", status, is_fresh, _render_feed)
    return _respond(request, body, "application/atom+xml; charset=utf-8", is_fresh)


def badge_slug(title: str) -> str:
    """Return a component's name in the URL of its badge, such as "ticket-shop" for "Ticket shop"."""
    return slugify(title, allow_unicode=True)


@require_safe
def badge(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Return a badge with the overall status or, if `slug` is given, with the status of the component it stands for."""
    status, is_fresh = status_cache.read(now=timezone.now())
    label, shown = "status", status.status if status else ""
    if slug:
        found = (
            [one for one in status.components if badge_slug(one.title) == slug] if status else []
        )
        if status and not found:
            return HttpResponse("There is no such component.\n", "text/plain", status=404)
        label, shown = (found[0].title, found[0].status) if found else (slug, "")
    image = _Body(render_badge(label, shown if is_fresh else "").encode())
    response = _respond(request, image, "image/svg+xml", is_fresh)
    response["Access-Control-Allow-Origin"] = "*"
    return response


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Show a page of the resolved public incidents."""
    number = request.GET.get("page", "1")
    try:
        page = load_incident_history(
            int(number[:9]) or 1 if number.isdecimal() else 1, now=timezone.now()
        )
    except DatabaseError:
        text = "Our database is unavailable. Try again in a minute."
        message = {"title": "History unavailable", "text": text}
        return HttpResponse(render_to_string("health/status_message.html", message), status=503)
    status, _ = status_cache.read(now=timezone.now())
    context = {"title": "Past incidents", "page": page, **_brand(status)}
    body = _Body(render_to_string("health/status_history.html", context).encode())
    return _respond(request, body, "text/html; charset=utf-8", is_fresh=True)


@require_safe
def colors(request: HttpRequest) -> HttpResponse:
    """Return the style sheet with the colors of the status page."""
    status, is_fresh = status_cache.read(now=timezone.now())
    body = _render("colors", status, is_fresh, _render_colors)
    return _respond(request, body, "text/css; charset=utf-8", is_fresh)


@require_safe
def logo(request: HttpRequest) -> HttpResponse:
    """Return the logo.

    Browsers may cache the logo for a long time, because its URL contains a version.
    """
    try:
        page = StatusPage.current()
    except DatabaseError:
        return HttpResponse("The database is unavailable.\n", "text/plain", status=503)
    if not page.logo:
        return HttpResponse("There is no logo.\n", "text/plain", status=404)
    response = HttpResponse(bytes(page.logo), content_type=page.logo_type)
    response["Cache-Control"] = f"public, max-age={LOGO_CACHE_SECONDS}, stale-if-error=86400"
    # An SVG image must not run scripts when it is opened as a page.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _brand(status: PublicStatus | None) -> dict[str, object]:
    """Return the template context for the header of the page."""
    return {"brand": status.page if status else PublicPage()}


def _render_colors(status: PublicStatus | None, is_fresh: bool) -> bytes:
    page = status.page if status else PublicPage()
    if not page.accent_color and not page.dark_accent_color:
        return b""
    return write_style_sheet(page.accent_color, page.dark_accent_color).encode()


def _render(
    name: str,
    status: PublicStatus | None,
    is_fresh: bool,
    render: Callable[[PublicStatus | None, bool], bytes],
) -> _Body:
    """Return the body that shows the status, and render it only if the status has changed."""
    key = (status.made_at if status else None, is_fresh)
    known = _rendered.get(name)
    if known is None or known[0] != key:
        known = _rendered[name] = (key, _Body(render(status, is_fresh)))
    return known[1]


def _render_page(status: PublicStatus | None, is_fresh: bool) -> bytes:
    return render_to_string("health/status.html", _context(status, is_fresh)).encode()


def _render_json(status: PublicStatus | None, is_fresh: bool) -> bytes:
    assert status is not None
    content = {"stale": not is_fresh, "status": status.status, "data": status}
    return json_response(content).content


def _render_feed(status: PublicStatus | None, is_fresh: bool) -> bytes:
    incidents = sorted(
        status.incidents if status else [], key=lambda one: one.started_at, reverse=True
    )
    context = {
        "incidents": incidents,
        "updated": status.incidents_changed_at if status else NEVER,
        "name": status.page.name if status else DEFAULT_NAME,
        "home": absolute_url("status-page"),
        "self": absolute_url("status-feed"),
    }
    return render_to_string("health/status.atom", context).encode()


def _context(status: PublicStatus | None, is_fresh: bool) -> dict[str, object]:
    tone, headline = HEADLINES.get(status.status if status else "", (Tone.WARNING, ""))
    if status and status.status == Status.DEGRADED and status.is_partial_outage:
        tone, headline = PARTIAL_OUTAGE
    if status is None:
        headline = "Status unavailable"
    elif not is_fresh:
        tone, headline = Tone.WARNING, "Current status unavailable"
    incidents = status.incidents if status else []
    return {
        "title": status.page.name if status else DEFAULT_NAME,
        **_brand(status),
        "tone": tone,
        "headline": headline,
        "is_fresh": is_fresh,
        "status": status,
        "groups": [_context_of_group(group) for group in status.groups] if status else [],
        "open_incidents": [one for one in incidents if one.resolved_at is None],
        "past_incidents": [one for one in incidents if one.resolved_at is not None],
        "now": timezone.now(),
    }


def _context_of_group(group: PublicGroup) -> dict[str, object]:
    """Return the components of a group that the page shows, and the components that the page folds.

    If more than MAX_UNGROUPED components have no group, the working ones are folded. The template folds a titled group
    as a whole while all of its components work.
    """
    shown, folded = group.components, group.components[:0]
    if not group.title and len(shown) > MAX_UNGROUPED:
        troubled = [one for one in group.components if not one.is_operational]
        shown, folded = troubled, [one for one in group.components if one.is_operational]
    return {"group": group, "shown": shown, "folded": folded}


def _respond(request: HttpRequest, body: _Body, content_type: str, is_fresh: bool) -> HttpResponse:
    """Return the body with caching headers, compressed if the client accepts that.

    Return 304 if the client already has this body.
    """
    is_packed = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    response = HttpResponse(body.compressed if is_packed else body.plain, content_type=content_type)
    if is_packed:
        response["Content-Encoding"] = "gzip"
    patch_vary_headers(response, ["Accept-Encoding"])
    seconds = CACHE_SECONDS if is_fresh else CACHE_SECONDS_WHEN_STALE
    patch_response_headers(response, seconds)
    response["Cache-Control"] = f"public, max-age={seconds}, stale-if-error=86400"
    response["ETag"] = f'"{body.tag}{"-gzip" if is_packed else ""}"'
    if request.headers.get("If-None-Match") == response["ETag"]:
        response.status_code, response.content = 304, b""
        del response["Content-Encoding"]
    return response
