"""Read the certificates of monitors whose connections begin with TLS, and record how long each remains valid."""

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.utils.text import slugify

from core.lib.outbound import ForbiddenAddress
from health.checking import probes
from health.models import Certificate, ComponentKind, Monitor
from health.services.results import record_results
from health.verdict import Result, Status

log = logging.getLogger(__name__)

REREAD_AFTER = timedelta(hours=6)
WARNING_PERIOD = timedelta(days=14)
# The threads mostly wait for hosts. With fewer of them, unresponsive hosts could use up the time limit of the job.
MAX_THREADS = 64


def check_certificates(*, now: datetime) -> int:
    """Read the certificates that are due, and return the number that were read.

    Record a result for each certificate whose expiry is known. A certificate that expires soon is read each time, so
    that its renewal is noticed immediately. If a host does not respond, use the last known expiry; the host's monitor
    reports the failure.
    """
    certificates = sync_certificates()
    due = [
        one
        for one in certificates
        if one.read_at is None
        or one.read_at <= now - REREAD_AFTER
        or (one.expires_at is not None and one.expires_at < now + WARNING_PERIOD)
    ]
    with ThreadPoolExecutor(max_workers=MAX_THREADS) as pool:
        expiry_times = list(pool.map(_fetch_expiry, due))
    read_count = 0
    for certificate, expires_at in zip(due, expiry_times, strict=True):
        if expires_at is not None:
            certificate.expires_at, certificate.read_at = expires_at, now
            certificate.save(update_fields=["expires_at", "read_at"])
            read_count += 1
    record_results(
        [
            (certificate, [_judge(certificate.expires_at, now)])
            for certificate in certificates
            if certificate.expires_at is not None
        ],
        now=now,
    )
    return read_count


def sync_certificates() -> list[Certificate]:
    """Create and delete rows so that there is one for each TLS address of an enabled monitor.

    Return the enabled rows, sorted by address.
    """
    wanted = {
        address
        for monitor in Monitor.objects.filter(is_enabled=True)
        if (address := monitor.certificate_address)
    }
    known = {certificate.address: certificate for certificate in Certificate.objects.all()}
    for address in known.keys() - wanted:
        known[address].delete()
    for host, port in sorted(wanted - known.keys()):
        title = f"Certificate of {host}" + (f":{port}" if port != 443 else "")
        Certificate.objects.get_or_create(
            host=host,
            port=port,
            defaults={
                "kind": ComponentKind.CERTIFICATE,
                "name": f"{slugify(title)[:90]}-{uuid.uuid4().hex[:6]}",
                "title": title[:100],
                "fail_after": 1,
                "recover_after": 1,
            },
        )
    return list(Certificate.objects.enabled().order_by("host", "port"))


def _judge(expires_at: datetime, now: datetime) -> Result:
    left = expires_at - now
    date = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    if left <= timedelta():
        return Result(Status.UNHEALTHY, now, 0.0, f"The certificate expired on {date}.")
    days = "1 day" if left.days == 1 else f"{left.days} days"
    status = Status.DEGRADED if left < WARNING_PERIOD else Status.HEALTHY
    return Result(status, now, 0.0, f"The certificate expires in {days}, on {date}.")


def _fetch_expiry(certificate: Certificate) -> datetime | None:
    try:
        return probes.fetch_certificate_expiry(certificate.host, certificate.port)
    except (OSError, ValueError, ForbiddenAddress) as error:
        extra = {"certificate": certificate.name, "error": str(error)}
        log.info("the certificate could not be read", extra=extra)
        return None
