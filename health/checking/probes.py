"""Asks one monitored address, and says how it went by returning, or by raising what `health.checks` knows."""

import json
import re
import socket
import ssl
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings

from health.checks import Check, Degraded
from health.models import Monitor
from opsportal.lib import outbound
from opsportal.lib.outbound.guard import check_addresses, resolve

MAX_BODY = 1 << 20
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Failed(Exception):
    """It answered, but not as it should."""


def as_check(monitor: Monitor) -> Check:
    """The monitor as the runner takes it. A second on top: the probe itself knows better why it ran out of time."""
    return Check(
        name=monitor.name,
        summary=monitor.title,
        run=lambda: ask(monitor),
        critical=monitor.is_required,
        timeout=monitor.timeout_seconds + 1.0,
        fail_after=monitor.fail_after,
        recover_after=monitor.recover_after,
    )


def ask(monitor: Monitor) -> str:
    """A short message when all is well. Raises Failed, Degraded, outbound.Unavailable or OSError otherwise."""
    began = time.perf_counter()
    message = _ask_tcp(monitor) if monitor.is_tcp else _ask_http(monitor)
    took_ms = (time.perf_counter() - began) * 1000
    if monitor.latency_limit_ms and took_ms > monitor.latency_limit_ms:
        raise Degraded(f"slow: {took_ms:.0f} ms, the limit is {monitor.latency_limit_ms} ms")
    return message


def _ask_http(monitor: Monitor) -> str:
    seconds = float(monitor.timeout_seconds)
    client = outbound.Client(
        "monitor",
        timeout=seconds,
        connect=seconds,
        read=seconds,
        attempts=1,
        max_bytes=MAX_BODY,
        breaker=False,  # asking whether it is back is the whole point
    )
    response = client.request(
        monitor.method,
        monitor.url,
        headers={"User-Agent": f"opsportal/{settings.VERSION}", **monitor.headers},
        content=monitor.body or None,
        guard=True,
    )
    if not monitor.accepts(response.status_code):
        raise Failed(f"HTTP {response.status_code}, expected {monitor.expected_status}")
    if monitor.contains and monitor.contains not in response.text:
        raise Failed(f"the answer does not contain “{monitor.contains}”")
    if monitor.json_path:
        _look_into(response.content, monitor)
    return f"HTTP {response.status_code}"


def _look_into(body: bytes, monitor: Monitor) -> None:
    try:
        value = at_path(json.loads(body), monitor.json_path)
    except (ValueError, RecursionError):
        raise Failed("the answer is not JSON") from None
    except LookupError:
        raise Failed(f"the answer has no {monitor.json_path}") from None
    text = value if isinstance(value, str) else json.dumps(value)
    if monitor.json_value and text != monitor.json_value:
        raise Failed(f"{monitor.json_path} is “{text[:80]}”, expected “{monitor.json_value}”")


def at_path(value: object, path: str) -> object:
    """What stands at `a.b[0].c`. Raises LookupError where there is nothing."""
    for name, index in _STEP.findall(path):
        if index and isinstance(value, list):
            value = value[int(index)]
        elif name and isinstance(value, dict):
            value = value[name]
        else:
            raise LookupError(path)
    return value


def _ask_tcp(monitor: Monitor) -> str:
    parts = urlsplit(monitor.url)
    _connect(parts.hostname or "", parts.port or 0, float(monitor.timeout_seconds)).close()
    return "connected"


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """A connection to a public (or allowed) address: what was looked up is what is connected to."""
    addresses = resolve(host, port, timeout)
    check_addresses(host, addresses)
    return socket.create_connection((addresses[0], port), timeout=timeout)


def certificate_until(url: str, *, timeout: float = 5.0) -> datetime | None:
    """When the certificate of an https address expires; None for other addresses. Raises OSError, ForbiddenAddress."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # an expired one must be readable too; the probe verifies
    with (
        _connect(parts.hostname, parts.port or 443, timeout) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    if der is None:
        return None
    return x509.load_der_x509_certificate(der).not_valid_after_utc.astimezone(UTC)


def is_own_network_down(*, timeout: float = 2.0) -> bool:
    """Whether none of NETWORK_PROBES can be reached: then it is we who are cut off. False when none is set."""
    if not settings.NETWORK_PROBES:
        return False
    for place in settings.NETWORK_PROBES:
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
        except (OSError, ValueError):
            continue
        return False
    return True
