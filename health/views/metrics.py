"""`/metrics` for Prometheus: for who has the token or comes from an allowed address."""

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

from health import metrics_registry
from health.caches.health import board
from opsportal.clients.auth import app_for_key, key_of
from opsportal.clients.models import Scope
from opsportal.lib.addresses import address_of
from opsportal.lib.http import problem

log = logging.getLogger(__name__)

# Several scrapers, or one that is impatient, cost one reading.
KEPT_FOR = 5.0  # seconds
_lock = threading.Lock()
_kept: tuple[float, bytes] = (0.0, b"")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_read(request):
        return problem(
            403, "send METRICS_TOKEN as a bearer token, or come from an address in METRICS_ALLOW"
        )
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
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


def exposition() -> bytes:
    global _kept
    with _lock:
        read_at, body = _kept
        if not body or time.monotonic() - read_at > KEPT_FOR:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(_Everything())
            body = generate_latest(registry)
            _kept = (time.monotonic(), body)
    return body


def forget() -> None:
    global _kept
    _kept = (0.0, b"")


class _Everything(Collector):
    """What every source of the registry tells; one that fails is named and takes none with it."""

    def collect(self) -> Iterable[Metric]:
        # With the database away each source would wait for it in turn.
        is_up = board.read(now=timezone.now(), budget=1.0).database_answers
        yield GaugeMetricFamily(
            "opsportal_database_up", "1 when the database answers.", value=float(is_up)
        )
        failed = GaugeMetricFamily(
            "opsportal_metric_source_failed",
            "1 for figures that could not be had.",
            labels=["source"],
        )
        for name in metrics_registry.registry.names():
            found: list[Metric] = []
            if is_up:
                try:
                    found = list(metrics_registry.registry.get(name)())
                except Exception:  # one source must not take the others with it
                    log.exception("metric source failed", extra={"source": name})
            failed.add_metric([name], float(not found))
            yield from found
        yield failed
