import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.accounts.middleware import loaded_user
from core.lib import logs, request_id
from opsportal.self_monitoring import record_request

log = logging.getLogger("opsportal.access")

# These paths are polled continuously, so they are logged at DEBUG unless they fail.
_QUIET = ("/livez", "/readyz", "/health", "/metrics", f"/{settings.STATIC_URL.strip('/')}/")


class RequestIdMiddleware:
    """Middleware that accepts or creates the request id, adds it to log lines and responses, and logs each request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with (
            request_id.use(request_id.accept(request.META.get("HTTP_X_REQUEST_ID"))),
            logs.fresh_context(),
        ):
            started = time.perf_counter()
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.current()
            duration_ms = (time.perf_counter() - started) * 1000
            _write_access_line(request, response, duration_ms)
            record_request(request, status=response.status_code, duration_ms=duration_ms)
            return response


def _write_access_line(
    request: HttpRequest, response: HttpResponseBase, duration_ms: float
) -> None:
    status = response.status_code
    level = logging.INFO
    if status >= 500:
        level = logging.WARNING
    elif status < 400 and request.path.startswith(_QUIET):
        level = logging.DEBUG
    if not log.isEnabledFor(level):
        return
    facts: dict[str, object] = {
        "method": request.method,
        # The query string is left out, because it may contain personal data.
        "path": request.path[:500],
        "status": status,
        "duration_ms": round(duration_ms, 1),
    }
    user = loaded_user(request)
    if user is not None and user.is_authenticated:
        facts["user_id"] = user.pk
    log.log(level, "request", extra=facts)
