"""Serve `/ping/…`, the URLs of healthchecks.io, so that its crontab lines and client libraries work with another host.

    /ping/<heartbeat's key>                    the job succeeded
    /ping/<heartbeat's key>/start, /fail       the job started, or it failed
    /ping/<heartbeat's key>/<exit status>      0 means success, 1 to 255 mean failure
    /ping/<key of an app's DSN>/<slug>[/…]     the same, for the heartbeat of this app with this slug

The body is stored as the output of the run. `?rid=<UUID>` identifies parallel runs, and `?create=1` creates a missing
heartbeat. See https://healthchecks.io/docs/http_api/.
"""

import re
import uuid

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from core.clients.auth import app_for_key
from core.clients.models import Scope
from core.lib.scrub import scrub_text
from health.models import CheckInStatus, Heartbeat
from health.services.heartbeats import (
    MAX_OUTPUT_CHARS,
    TooManyHeartbeats,
    check_in,
    create_daily_heartbeat,
)

# The longest encoding of a character has 4 bytes. The text is cut only after it was scrubbed.
_READ_BYTES = 4 * MAX_OUTPUT_CHARS
_METHODS = ["GET", "HEAD", "POST"]


@csrf_exempt
@never_cache
@require_http_methods(_METHODS)
def ping(request: HttpRequest, key: uuid.UUID, step: str = "") -> HttpResponse:
    """Record a check-in of the heartbeat with this key."""
    return _record(request, Heartbeat.objects.enabled().filter(ping_key=key).first(), step)


@csrf_exempt
@never_cache
@require_http_methods(_METHODS)
def ping_slug(request: HttpRequest, app_key: str, slug: str, step: str = "") -> HttpResponse:
    """Record a check-in of the app's heartbeat with this slug."""
    app = app_for_key(app_key, Scope.INGEST)
    if app is None:
        return _answer(404, "not found")
    heartbeat = app.heartbeats.filter(slug=slug, environment="").first()
    if heartbeat is None and request.GET.get("create") == "1":
        try:
            heartbeat = create_daily_heartbeat(app, slug)
        except TooManyHeartbeats as error:
            return _answer(409, str(error))
    return _record(request, heartbeat if heartbeat and heartbeat.is_enabled else None, step)


def _record(request: HttpRequest, heartbeat: Heartbeat | None, step: str) -> HttpResponse:
    outcome = _outcome_of(step)
    if heartbeat is None or outcome is None:
        return _answer(404, "not found")
    status, message = outcome
    run_id = None
    if "rid" in request.GET:
        try:
            run_id = uuid.UUID(request.GET["rid"])
        except ValueError:
            return _answer(400, "invalid uuid format")
    with transaction.atomic():
        check_in(
            heartbeat,
            status=status,
            now=timezone.now(),
            check_in_id=run_id,
            message=message,
            output=_output_of(request),
        )
    return _answer(200, "OK")


def _outcome_of(step: str) -> tuple[CheckInStatus, str] | None:
    """Return the outcome that the last part of the URL stands for, and a message.

    Return None if the part is unknown.
    """
    match step:
        case "" | "0":
            return CheckInStatus.OK, ""
        case "start":
            return CheckInStatus.RUNNING, ""
        case "fail":
            return CheckInStatus.ERROR, ""
    if re.fullmatch(r"[1-9][0-9]{0,2}", step) and int(step) <= 255:
        return CheckInStatus.ERROR, f"the job ended with exit status {step}"
    return None


def _output_of(request: HttpRequest) -> str:
    """Return the beginning of a POST request's body as text, without personal data."""
    if request.method != "POST":
        return ""
    text = request.read(_READ_BYTES).decode(errors="replace").replace("\0", "")
    return scrub_text(text)[:MAX_OUTPUT_CHARS]


def _answer(status: int, text: str) -> HttpResponse:
    headers = {"Ping-Body-Limit": str(MAX_OUTPUT_CHARS)}
    return HttpResponse(text, content_type="text/plain", status=status, headers=headers)
