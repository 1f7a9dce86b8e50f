"""Recording of the portal's own request durations, aggregated in memory by URL pattern."""

import math
import re
import threading

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib import background
from health.services import record_measurements
from health.signals import Performance

# Polled continuously, or measured separately.
_IGNORED_PATHS = re.compile(
    rf"/(?:{settings.STATIC_URL.strip('/')}/|(?:livez|readyz|health|metrics|favicon\.ico)\b"
    r"|api/\d+/(?:envelope|store)|api/v1/(?:errors|signals)/)"
)
# Clients can send any method, and each name creates a permanent series.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
MAX_KEYS = 2_000

_lock = threading.Lock()
# (name, ok, bucket) -> (count, sum in ms). Buckets are an eighth of a power of ten wide, so that their mean is precise.
_durations: dict[tuple[str, bool, int], tuple[int, float]] = {}
dropped = 0


def record_request(request: HttpRequest, *, status: int, duration_ms: float) -> None:
    """Count a request under its URL pattern, because each path with an id would be a series of its own."""
    global dropped
    if not settings.SELF_MONITORING or _IGNORED_PATHS.match(request.path_info):
        return
    match = request.resolver_match
    method = request.method if request.method in _METHODS else "(other)"
    name = f"{method} /{match.route}" if match else f"{method} (no such page)"
    bucket = round(8 * math.log10(max(duration_ms, 0.01)))
    key = (name[:200], status < 500, bucket)
    with _lock:
        if key not in _durations and len(_durations) >= MAX_KEYS:
            dropped += 1
            return
        count, total = _durations.get(key, (0, 0.0))
        _durations[key] = (count + 1, total + duration_ms)


@background.chore("self-monitoring: requests", seconds=3)
def write_durations() -> int:
    """Record the counted requests as measurements. Returns the number of requests."""
    global _durations, dropped
    with _lock:
        durations, _durations = _durations, {}
    requests = sum(count for count, _ in durations.values())
    if not requests:
        return 0
    measurements = [
        Performance(name, round(total / count, 3), kind="request", ok=ok, count=count)
        for (name, ok, _), (count, total) in durations.items()
    ]
    try:
        app = ClientApp.objects.get(slug=ClientApp.PORTAL_SLUG)
        record_measurements(measurements, app=app, now=timezone.now())
    except Exception:
        dropped += requests
        raise
    return requests
