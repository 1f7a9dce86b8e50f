"""Read the expiry time of the certificates of https monitors."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from core.lib.outbound import ForbiddenAddress
from health.checking import probes
from health.models import Monitor

log = logging.getLogger(__name__)

RECHECK_AFTER = timedelta(hours=6)
MAX_THREADS = 16


def check_certificates(*, now: datetime) -> int:
    """Read the certificates that were not read recently, and return their number.

    A host that does not respond is skipped: its monitor reports the failure.
    """
    due = [
        monitor
        for monitor in Monitor.objects.filter(is_enabled=True, url__startswith="https://")
        if not monitor.certificate_seen_at or monitor.certificate_seen_at < now - RECHECK_AFTER
    ]
    with ThreadPoolExecutor(max_workers=MAX_THREADS) as pool:
        expiry_times = list(pool.map(_fetch_expiry, due))
    read_count = 0
    for monitor, until in zip(due, expiry_times, strict=True):
        if until is not None:
            Monitor.objects.filter(pk=monitor.pk).update(
                certificate_until=until, certificate_seen_at=now
            )
            read_count += 1
    return read_count


def _fetch_expiry(monitor: Monitor) -> datetime | None:
    try:
        return probes.fetch_certificate_expiry(monitor.url)
    except (OSError, ValueError, ForbiddenAddress) as error:
        log.info("cannot read certificate", extra={"monitor": monitor.name, "error": str(error)})
        return None
