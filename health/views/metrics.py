"""Serve `/metrics` to Prometheus, which needs a token or an allowed address."""

import hmac
import ipaddress
import logging
import threading
import time
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from core.clients.auth import app_for_key, key_of
from core.clients.models import Scope
from core.lib.addresses import address_of
from core.lib.http import problem
from health.caches.health import health_cache
from health.extension_points import metrics as metric_sources

log = logging.getLogger(__name__)

# Scrapes within this time get the same metrics.
CACHE_SECONDS = 5.0
HEALTH_TIMEOUT_SECONDS = 1.0
_lock = threading.Lock()
_cached: tuple[float, bytes] = (0.0, b"")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_read(request):
        return problem(
            403, "send METRICS_TOKEN as a bearer token, or use an address listed in METRICS_ALLOW"
        )
    return HttpResponse(render_metrics(), content_type=CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
    """Return True if the request may read the metrics.

    The request must have METRICS_TOKEN or a key with the admin scope. A request without a key must come from an allowed
    address.
    """
    key = key_of(request)
    if key:
        if settings.METRICS_TOKEN and hmac.compare_digest(
            key.encode(), settings.METRICS_TOKEN.encode()
        ):
            return True
        return app_for_key(key, Scope.ADMIN) is not None
    try:
        address = ipaddress.ip_address(address_of(request))
    except ValueError:
        return False
    return any(
        address in ipaddress.ip_network(network, strict=False) for network in settings.METRICS_ALLOW
    )


def render_metrics() -> bytes:
    """Return all metrics in the text format of Prometheus. They are at most CACHE_SECONDS old."""
    global _cached
    with _lock:
        rendered_at, body = _cached
        if not body or time.monotonic() - rendered_at > CACHE_SECONDS:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(_PortalCollector())
            body = generate_latest(registry)
            _cached = (time.monotonic(), body)
    return body


def clear_cache() -> None:
    global _cached
    _cached = (0.0, b"")


class _PortalCollector(Collector):
    """A collector of the metrics from every source. A failing source is logged and does not affect other sources."""

    def collect(self) -> Iterable[Metric]:
        # While the database is down, each source would wait for a connection timeout, so no source is called.
        snapshot = health_cache.read(now=timezone.now(), timeout=HEALTH_TIMEOUT_SECONDS)
        is_up = snapshot.is_database_up
        yield GaugeMetricFamily(
            "opsportal_database_up", "1 if the database is available.", value=float(is_up)
        )
        failed = GaugeMetricFamily(
            "opsportal_metric_source_failed",
            "1 if collecting the metrics of this source failed.",
            labels=["source"],
        )
        for name in metric_sources.names():
            found: list[Metric] = []
            if is_up:
                try:
                    found = list(metric_sources.get(name)())
                except Exception:  # A source may raise any exception.
                    log.exception("metric source failed", extra={"source": name})
            failed.add_metric([name], float(not found))
            yield from found
        yield failed
