"""When the certificates of monitored https addresses expire, looked at every few hours."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from health.checking import probes
from health.models import Monitor
from opsportal.lib.outbound import ForbiddenAddress

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER = timedelta(hours=6)


def check_certificates(*, now: datetime) -> int:
    """Read those not looked at lately. Returns how many were read; a host that does not answer is its monitor's matter."""
    due = [
        monitor
        for monitor in Monitor.objects.filter(is_enabled=True, url__startswith="https://")
        if not monitor.certificate_seen_at or monitor.certificate_seen_at < now - LOOK_AGAIN_AFTER
    ]
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(_until, due))
    read = 0
    for monitor, until in zip(due, found, strict=True):
        if until is not None:
            Monitor.objects.filter(pk=monitor.pk).update(
                certificate_until=until, certificate_seen_at=now
            )
            read += 1
    return read


def _until(monitor: Monitor) -> datetime | None:
    try:
        return probes.fetch_certificate_expiry(monitor.url)
    except (OSError, ValueError, ForbiddenAddress) as error:
        log.info("certificate unreadable", extra={"monitor": monitor.name, "error": str(error)})
        return None
