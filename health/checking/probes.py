"""Probe one monitored address. A probe returns a message on success and raises an exception on failure."""

import json
import re
import socket
import ssl
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings

from core.lib import outbound
from core.lib.outbound.guard import check_addresses, resolve
from health.extension_points import Check, Degraded
from health.models import Monitor

MAX_BODY_BYTES = 1 << 20
_PATH_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class ProbeFailed(Exception):
    """The address responded, but not as expected."""


def to_check(monitor: Monitor) -> Check:
    """Return the monitor as a check. Its timeout is one second longer: the probe's own timeout error says more."""
    return Check(
        name=monitor.name,
        summary=monitor.title,
        run=lambda: probe(monitor),
        critical=monitor.is_required,
        timeout=monitor.timeout_seconds + 1.0,
        fail_after=monitor.fail_after,
        recover_after=monitor.recover_after,
    )


def probe(monitor: Monitor) -> str:
    """Return a short message on success. Raises ProbeFailed, Degraded, outbound.Unavailable or OSError."""
    started = time.perf_counter()
    message = _probe_tcp(monitor) if monitor.is_tcp else _probe_http(monitor)
    duration_ms = (time.perf_counter() - started) * 1000
    if monitor.latency_limit_ms and duration_ms > monitor.latency_limit_ms:
        raise Degraded(f"slow: {duration_ms:.0f} ms, the limit is {monitor.latency_limit_ms} ms")
    return message


def _probe_http(monitor: Monitor) -> str:
    seconds = float(monitor.timeout_seconds)
    client = outbound.Client(
        "monitor",
        timeout=seconds,
        connect=seconds,
        read=seconds,
        attempts=1,
        max_bytes=MAX_BODY_BYTES,
        breaker=False,  # a monitor must see each failure and each recovery
    )
    response = client.request(
        monitor.method,
        monitor.url,
        headers={"User-Agent": f"opsportal/{settings.VERSION}", **monitor.headers},
        content=monitor.body or None,
        guard=True,
    )
    if not monitor.accepts(response.status_code):
        raise ProbeFailed(f"HTTP {response.status_code}, expected {monitor.expected_status}")
    if monitor.contains and monitor.contains not in response.text:
        raise ProbeFailed(f"the response does not contain “{monitor.contains}”")
    if monitor.json_path:
        _check_json(response.content, monitor)
    return f"HTTP {response.status_code}"


def _check_json(body: bytes, monitor: Monitor) -> None:
    try:
        value = value_at_path(json.loads(body), monitor.json_path)
    except (ValueError, RecursionError):
        raise ProbeFailed("the response is not JSON") from None
    except LookupError:
        raise ProbeFailed(f"the response has no {monitor.json_path}") from None
    text = value if isinstance(value, str) else json.dumps(value)
    if monitor.json_value and text != monitor.json_value:
        raise ProbeFailed(f"{monitor.json_path} is “{text[:80]}”, expected “{monitor.json_value}”")


def value_at_path(value: object, path: str) -> object:
    """Return the value at a path such as `a.b[0].c`. Raises LookupError if there is none."""
    for name, index in _PATH_STEP.findall(path):
        if index and isinstance(value, list):
            value = value[int(index)]
        elif name and isinstance(value, dict):
            value = value[name]
        else:
            raise LookupError(path)
    return value


def _probe_tcp(monitor: Monitor) -> str:
    parts = urlsplit(monitor.url)
    _connect(parts.hostname or "", parts.port or 0, float(monitor.timeout_seconds)).close()
    return "connected"


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a public (or allowed) address.

    Connects to the address that was checked rather than to the name, which could resolve differently the second time.
    """
    addresses = resolve(host, port, timeout)
    check_addresses(host, addresses)
    return socket.create_connection((addresses[0], port), timeout=timeout)


def fetch_certificate_expiry(url: str, *, timeout: float = 5.0) -> datetime | None:
    """Return the expiry time of the certificate at an https address; None for other addresses.

    Raises OSError or ForbiddenAddress.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # expired certificates must be readable; probes verify them
    with (
        _connect(parts.hostname, parts.port or 443, timeout) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    if der is None:
        return None
    return x509.load_der_x509_certificate(der).not_valid_after_utc.astimezone(UTC)


def is_own_network_down(*, timeout: float = 2.0) -> bool:
    """Return True if none of NETWORK_PROBES can be reached; False if the setting is empty."""
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
