"""The public status page: no sign-in, no script, no session; it answers when the database does not."""

import hashlib

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_response_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from health import status
from health.services import subscribers
from health.status import PublicStatus
from health.verdict import Status
from opsportal.lib import ratelimit
from opsportal.lib.addresses import address_of, network_of
from opsportal.lib.http import json_response

CACHED_FOR = 30  # seconds
HEADLINES = {
    Status.HEALTHY.value: ("ok", "All systems operational"),
    Status.DEGRADED.value: ("warning", "Some systems are degraded"),
    Status.UNHEALTHY.value: ("critical", "There is an outage"),
}
# The rendered page of this process, by what it shows.
_rendered: dict[tuple[object, bool], bytes] = {}


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    shown, is_fresh = status.desk.read(now=timezone.now())
    key = (shown.made_at if shown else None, is_fresh)
    body = _rendered.get(key)
    if body is None:
        body = render_to_string("health/status.html", _context(shown, is_fresh)).encode()
        _rendered.clear()
        _rendered[key] = body
    return _answer(request, HttpResponse(body), is_fresh)


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    shown, is_fresh = status.desk.read(now=timezone.now())
    if shown is None:
        return json_response({"status": "unknown", "stale": True}, status=503)
    response = json_response({"stale": not is_fresh, "status": shown.status, "data": shown})
    response["Access-Control-Allow-Origin"] = "*"
    return _answer(request, response, is_fresh)


@require_safe
def feed(request: HttpRequest) -> HttpResponse:
    """Incidents as Atom, newest first."""
    shown, is_fresh = status.desk.read(now=timezone.now())
    incidents = sorted(
        shown.incidents if shown else [], key=lambda one: one.started_at, reverse=True
    )
    stamps = [update.at for one in incidents for update in one.updates]
    context = {
        "incidents": incidents,
        "updated": max(stamps, default=shown.made_at if shown else timezone.now()),
        "base": settings.BASE_URL,
        "home": settings.BASE_URL + reverse("health:status-page"),
        "self": settings.BASE_URL + reverse("health:status-feed"),
    }
    body = render_to_string("health/status.atom", context)
    return _answer(
        request, HttpResponse(body, content_type="application/atom+xml; charset=utf-8"), is_fresh
    )


def _context(shown: PublicStatus | None, is_fresh: bool) -> dict[str, object]:
    tone, headline = HEADLINES.get(shown.status if shown else "", ("warning", ""))
    if shown is None:
        headline = "The state cannot be told right now"
    elif not is_fresh:
        tone = "warning"
        headline = "Live data cannot be read right now"
    incidents = shown.incidents if shown else []
    return {
        "title": "System status",
        "tone": tone,
        "headline": headline,
        "is_fresh": is_fresh,
        "status": shown,
        "open_incidents": [one for one in incidents if one.resolved_at is None],
        "past_incidents": [one for one in incidents if one.resolved_at is not None],
        "now": timezone.now(),
    }


def _answer(request: HttpRequest, response: HttpResponse, is_fresh: bool) -> HttpResponse:
    """Cacheable for half a minute; 304 to whoever has it already."""
    patch_response_headers(response, CACHED_FOR if is_fresh else 5)
    response["Cache-Control"] = (
        f"public, max-age={CACHED_FOR if is_fresh else 5}, stale-if-error=86400"
    )
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:24]}"'
    if request.headers.get("If-None-Match") == response["ETag"]:
        response.status_code, response.content = 304, b""
    return response


# --- mails ------------------------------------------------------------------------------------------------


@csrf_exempt  # the page is cached and knows no visitor; nothing here acts for somebody signed in
@require_POST
@never_cache
def subscribe(request: HttpRequest) -> HttpResponse:
    address = request.POST.get("address", "").strip()
    try:
        validate_email(address)
        if len(address) > 254:
            raise ValidationError("too long")
    except ValidationError:
        return _say(request, "That is not an e-mail address", "Go back and correct it.", 400)
    if not ratelimit.acquire(
        f"status-subscribe:{network_of(address_of(request))}", 5, 3600
    ).allowed:
        return _say(request, "Too many at once", "Try again in an hour.", 429)
    subscribers.subscribe(address, now=timezone.now())
    return _say(
        request,
        "Check your mail",
        "If the address is not subscribed yet, a mail with a link to confirm it is on its way.",
    )


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """A button first: mail programs follow links by themselves."""
    if request.method != "POST":
        return _say(request, "Mails about incidents", "", button="Yes, send me mails")
    if subscribers.confirm(token, now=timezone.now()):
        return _say(request, "Confirmed", "You will hear of incidents, and of nothing else.")
    return _say(request, "This link is not known", "It may have expired: subscribe again.", 404)


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leave(request: HttpRequest, token: str) -> HttpResponse:
    if request.method != "POST":
        return _say(request, "No more mails?", "", button="Unsubscribe")
    subscribers.unsubscribe(token)
    return _say(request, "Unsubscribed", "The address has been deleted.")


def _say(
    request: HttpRequest, headline: str, text: str, code: int = 200, *, button: str = ""
) -> HttpResponse:
    context = {"title": headline, "text": text, "button": button}
    return HttpResponse(render_to_string("health/status_message.html", context), status=code)
