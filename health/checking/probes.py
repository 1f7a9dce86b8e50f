"""Probe one monitored address.

A probe returns a message on success and raises an exception on failure.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from django.conf import settings

from core.lib import outbound
from core.lib.outbound import guard
from health.checking.http_probe import probe_http
from health.checking.network_probes import CannotPing, probe_dns, probe_ping, probe_tcp
from health.checking.server_probes import probe_postgresql, probe_redis, probe_smtp
from health.checking.values import ProbeFailed
from health.extension_points import Check, Degraded
from health.models import Monitor, MonitorStep
from health.monitor_types import MonitorType

# Certificates are read only from the first addresses of a host.
MAX_ADDRESSES = 8
_PROBES: dict[MonitorType, Callable[[Monitor], str]] = {
    MonitorType.TCP: probe_tcp,
    MonitorType.PING: probe_ping,
    MonitorType.DNS: probe_dns,
    MonitorType.POSTGRESQL: probe_postgresql,
    MonitorType.REDIS: probe_redis,
    MonitorType.SMTP: probe_smtp,
}


def to_check(monitor: Monitor, steps: Sequence[MonitorStep] | None = None) -> Check:
    """Return a check that probes the monitor with the given steps, or with the stored steps by default.

    The check has a timeout of one second more than the probe, because the probe's own error is more precise.
    """
    known_steps = list(monitor.steps.all()) if steps is None else steps
    return Check(
        name=monitor.name,
        summary=monitor.title,
        run=lambda: probe(monitor, known_steps),
        critical=monitor.is_required,
        timeout=monitor.timeout_seconds + 1.0,
        fail_after=monitor.fail_after,
        recover_after=monitor.recover_after,
    )


def probe(monitor: Monitor, steps: Sequence[MonitorStep] = ()) -> str:
    """Probe the address of a monitor and return a short message.

    Raises ProbeFailed, Degraded, outbound.OutboundError or OSError if the probe fails. A monitor that is upside down
    succeeds if its address was probed and does not respond as expected.
    """
    if not monitor.is_inverted:
        return _probe(monitor, steps)
    try:
        message = _probe(monitor, steps)
    except (outbound.ForbiddenAddress, CannotPing):
        raise  # The address was not probed, so a monitor that is upside down must fail too.
    except Degraded as slow:
        message = str(slow)
    except (ProbeFailed, outbound.OutboundError, OSError) as error:
        return f"down, as it should be: {error}"
    raise ProbeFailed(f"responds, although it should not: {message}")


def _probe(monitor: Monitor, steps: Sequence[MonitorStep]) -> str:
    started = time.perf_counter()
    if monitor.type is MonitorType.HTTP:
        message = probe_http(monitor, steps)
    else:
        message = _PROBES[monitor.type](monitor)
    duration_ms = (time.perf_counter() - started) * 1000
    if monitor.latency_limit_ms and duration_ms > monitor.latency_limit_ms:
        raise Degraded(f"slow: {duration_ms:.0f} ms, the limit is {monitor.latency_limit_ms} ms")
    return message


def fetch_certificate_expiry(host: str, port: int, *, timeout: float = 5.0) -> datetime:
    """Return the time at which the first certificate of the host expires.

    Different addresses of a host may serve different certificates. Addresses that do not respond are ignored. Raises
    OSError if no address responds, and ForbiddenAddress if the portal may not connect to one of them.
    """
    ends_at = time.monotonic() + timeout
    addresses = guard.resolve(host, port, timeout)
    guard.check_addresses(host, addresses)
    found: list[datetime] = []
    error: OSError | None = None
    for address, seconds in guard.share_time(addresses[:MAX_ADDRESSES], ends_at - time.monotonic()):
        try:
            found.append(_read_expiry(address, port, host, seconds))
        except OSError as failure:
            error = failure
    if not found:
        raise error or OSError(f"{host} has no address")
    return min(found)


def _read_expiry(address: str, port: int, host: str, timeout: float) -> datetime:
    context = ssl.create_default_context()
    context.check_hostname = False
    # An expired certificate could not be read with verification. The probes verify certificates.
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address, port), timeout=timeout) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    if der is None:
        raise OSError(f"{host} sent no certificate")
    return x509.load_der_x509_certificate(der).not_valid_after_utc.astimezone(UTC)


def is_own_network_down(*, timeout: float = 2.0) -> bool:
    """Return True if no address in NETWORK_PROBES can be reached. Return False if the setting is empty."""
    if not settings.NETWORK_PROBES:
        return False
    for address in settings.NETWORK_PROBES:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
        except (OSError, ValueError):
            continue
        return False
    return True
