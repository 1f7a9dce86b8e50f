"""Record the portal's own request durations, aggregated in memory by URL pattern."""

import math
import re

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.buffer import Buffer, OnFailure
from health.services import record_measurements
from health.signals import Performance

# These paths are polled continuously or measured separately.
_IGNORED_PATHS = re.compile(
    rf"/(?:{settings.STATIC_URL.strip('/')}/|(?:livez|readyz|health|metrics|favicon\.ico)\b"
    r"|api/\d+/(?:envelope|store)|api/v1/(?:errors|signals)/)"
)
# Clients can send any string as the method, and each recorded method would create a permanent series.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
MAX_KEYS = 2_000

# The name, the success, and the bucket of the duration. A bucket is an eighth of a power of ten wide, so that the mean
# of its durations is precise.
_Key = tuple[str, bool, int]
_Durations = tuple[int, float]  # The number of durations, and their sum in milliseconds.


def record_request(request: HttpRequest, *, status: int, duration_ms: float) -> None:
    """Count a request under its URL pattern, because a separate series for each path with an id would be useless."""
    if not settings.SELF_MONITORING or _IGNORED_PATHS.match(request.path_info):
        return
    match = request.resolver_match
    method = request.method if request.method in _METHODS else "(other)"
    name = f"{method} /{match.route}" if match else f"{method} (no such page)"
    bucket = round(8 * math.log10(max(duration_ms, 0.01)))
    own_requests.add((name[:200], status < 500, bucket), (1, duration_ms))


def _write(durations: dict[_Key, _Durations]) -> None:
    """Record the counted requests as measurements."""
    measurements = [
        Performance(name, round(total / count, 3), kind="request", ok=ok, count=count)
        for (name, ok, _), (count, total) in durations.items()
    ]
    app = ClientApp.objects.get(slug=ClientApp.PORTAL_SLUG)
    record_measurements(measurements, app=app, now=timezone.now())


own_requests = Buffer[_Key, _Durations](
    "self-monitoring: requests",
    seconds=3,
    write=_write,
    merge=lambda known, new: (known[0] + new[0], known[1] + new[1]),
    count_of=lambda durations: durations[0],
    max_keys=MAX_KEYS,
    on_failure=OnFailure.DROP,
)
