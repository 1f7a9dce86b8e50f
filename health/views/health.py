"""Respond to load balancers and monitoring programs at /livez, /readyz and /health."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.clients.auth import app_for_key, key_of
from core.clients.models import Scope
from core.lib.http import json_response
from health.caches.health import (
    ComponentHealth,
    HealthSnapshot,
    health_cache,
    readiness_cache,
)
from health.verdict import Status

# /health must respond within 200 ms. This timeout leaves 80 ms for the rest of the request.
HEALTH_TIMEOUT_SECONDS = 0.12
READINESS_TIMEOUT_SECONDS = 1.0
# This media type is defined by draft-inadarei-api-health-check, "Health Check Response Format for HTTP APIs".
HEALTH_JSON = "application/health+json"
_HEALTH_JSON_STATUS = {
    Status.HEALTHY: "pass",
    Status.NOT_CONFIGURED: "pass",
    Status.DEGRADED: "warn",
    Status.UNKNOWN: "warn",
    Status.UNHEALTHY: "fail",
}


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Return 200 while the process runs.

    The view uses no dependency, so a failing dependency does not restart the portal.
    """
    return json_response({"status": "alive"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Return 200 if the database and, if configured, Redis work. Otherwise, return 503 and the failing checks."""
    snapshot = readiness_cache.read(now=timezone.now(), timeout=READINESS_TIMEOUT_SECONDS)
    failing = [
        component.name
        for component in snapshot.components
        if component.state.result.status in (Status.UNHEALTHY, Status.UNKNOWN)
    ]
    if failing:
        return json_response({"status": "not ready", "failing": failing}, status=503)
    return json_response({"status": "ready"})


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Return the overall status and every check, with 503 if unhealthy and 200 otherwise.

    Only staff and keys with the admin scope get messages, monitors and other components, and only while the database
    is up.
    """
    snapshot = health_cache.read(now=timezone.now(), timeout=HEALTH_TIMEOUT_SECONDS)
    is_detailed = snapshot.is_database_up and _may_see_details(request)
    status = 503 if snapshot.status is Status.UNHEALTHY else 200
    if HEALTH_JSON in request.headers.get("Accept", ""):
        response = json_response(_as_health_json(snapshot, is_detailed), status)
        response["Content-Type"] = HEALTH_JSON
    else:
        response = json_response(_as_json(snapshot, is_detailed), status)
    response["Cache-Control"] = f"{'private' if is_detailed else 'public'}, max-age=5"
    response["Vary"] = "Accept, Authorization, Cookie"
    return response


def _may_see_details(request: HttpRequest) -> bool:
    if key := key_of(request):
        return app_for_key(key, Scope.ADMIN) is not None
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return bool(request.user.is_active and request.user.is_staff)


def _visible(snapshot: HealthSnapshot, is_detailed: bool) -> list[ComponentHealth]:
    """Return the components to show.

    Monitors are shown only with details, because their names reveal internal systems.
    """
    return [component for component in snapshot.components if is_detailed or component.is_check]


def _as_json(snapshot: HealthSnapshot, is_detailed: bool) -> dict[str, object]:
    checks: dict[str, dict[str, object]] = {}
    for component in _visible(snapshot, is_detailed):
        result = component.state.result
        checks[component.name] = {
            "status": component.state.status,
            "responseTime": round(result.duration_ms, 1),
        }
        if is_detailed:
            checks[component.name] |= {
                "message": result.message,
                "required": component.is_required,
                "since": component.state.since,
                "time": result.at,
            }
    return {
        "status": snapshot.status,
        "timestamp": snapshot.at,
        "version": settings.VERSION,
        "checks": checks,
    }


def _as_health_json(snapshot: HealthSnapshot, is_detailed: bool) -> dict[str, object]:
    checks: dict[str, list[dict[str, object]]] = {}
    for component in _visible(snapshot, is_detailed):
        result = component.state.result
        item: dict[str, object] = {
            "componentType": "component" if component.is_check else "system",
            "observedValue": round(result.duration_ms, 1),
            "observedUnit": "ms",
            "status": _HEALTH_JSON_STATUS[component.state.status],
            "time": result.at,
        }
        if is_detailed and result.message:
            item["output"] = result.message
        checks[f"{component.name}:responseTime"] = [item]
    return {
        "status": _HEALTH_JSON_STATUS[snapshot.status],
        "version": settings.VERSION.split(".")[0],
        "releaseId": settings.VERSION,
        "serviceId": settings.BASE_URL,
        "checks": checks,
    }
