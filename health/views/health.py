"""For probes, load balancers and programs: /livez, /readyz, /health."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from health.caches.health import Entry, Reading, board, readiness
from health.verdict import Status
from opsportal.clients.auth import app_for_key, key_of
from opsportal.clients.models import Scope
from opsportal.lib.http import json_response

# /health answers within 200 ms throughout; the rest of the 200 is for everything around it.
BUDGET = 0.12
# RFC draft "Health Check Response Format for HTTP APIs"
HEALTH_JSON = "application/health+json"
_WORD = {
    Status.HEALTHY: "pass",
    Status.NOT_CONFIGURED: "pass",
    Status.DEGRADED: "warn",
    Status.UNKNOWN: "warn",
    Status.UNHEALTHY: "fail",
}


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. It touches nothing, so that a dependency's failure never restarts the portal."""
    return json_response({"status": "alive"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Send traffic here or not: the database, and Redis where it is configured, each within a second."""
    reading = readiness.read(now=timezone.now(), budget=1.0)
    failing = [
        entry.name
        for entry in reading.entries
        if entry.state.result.status in (Status.UNHEALTHY, Status.UNKNOWN)
    ]
    if failing:
        return json_response({"status": "not ready", "failing": failing}, status=503)
    return json_response({"status": "ready"})


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """The verdict with every check. 200 when healthy or degraded, 503 when unhealthy; messages only for staff or a token."""
    reading = board.read(now=timezone.now(), budget=BUDGET)
    detailed = reading.database_answers and _may_see_details(request)
    status = 503 if reading.status is Status.UNHEALTHY else 200
    if HEALTH_JSON in request.headers.get("Accept", ""):
        response = json_response(_as_health_json(reading, detailed), status)
        response["Content-Type"] = HEALTH_JSON
    else:
        response = json_response(_as_json(reading, detailed), status)
    response["Cache-Control"] = f"{'private' if detailed else 'public'}, max-age=5"
    response["Vary"] = "Accept, Authorization, Cookie"
    return response


def _may_see_details(request: HttpRequest) -> bool:
    if key := key_of(request):
        return app_for_key(key, Scope.ADMIN) is not None
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return bool(request.user.is_active and request.user.is_staff)


def _shown(reading: Reading, detailed: bool) -> list[Entry]:
    """Monitors carry the names of an owner's own systems: not for everybody."""
    return [entry for entry in reading.entries if detailed or entry.is_check]


def _as_json(reading: Reading, detailed: bool) -> dict[str, object]:
    checks: dict[str, dict[str, object]] = {}
    for entry in _shown(reading, detailed):
        result = entry.state.result
        checks[entry.name] = {
            "status": entry.state.status,
            "responseTime": round(result.duration_ms, 1),
        }
        if detailed:
            checks[entry.name] |= {
                "message": result.message,
                "required": entry.required,
                "since": entry.state.since,
                "time": result.at,
            }
    return {
        "status": reading.status,
        "timestamp": reading.at,
        "version": settings.VERSION,
        "checks": checks,
    }


def _as_health_json(reading: Reading, detailed: bool) -> dict[str, object]:
    checks: dict[str, list[dict[str, object]]] = {}
    for entry in _shown(reading, detailed):
        result = entry.state.result
        item: dict[str, object] = {
            "componentType": "component" if entry.is_check else "system",
            "observedValue": round(result.duration_ms, 1),
            "observedUnit": "ms",
            "status": _WORD[entry.state.status],
            "time": result.at,
        }
        if detailed and result.message:
            item["output"] = result.message
        checks[f"{entry.name}:responseTime"] = [item]
    return {
        "status": _WORD[reading.status],
        "version": settings.VERSION.split(".")[0],
        "releaseId": settings.VERSION,
        "serviceId": settings.BASE_URL,
        "checks": checks,
    }
