"""Probe one monitored address. A probe returns a message on success and raises an exception on failure."""

import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import httpx
from cryptography import x509
from django.conf import settings

from core.lib import outbound
from core.lib.outbound import guard
from health.checking.charsets import decode_body
from health.extension_points import Check, Degraded
from health.models import Monitor

MAX_BODY_BYTES = 4 << 20  # maximum size that is read of a body
MAX_REDIRECTS = 5
MAX_ADDRESSES = 8  # maximum number of addresses of a host whose certificates are read
_REDIRECTS = (301, 302, 303, 307, 308)
# Headers that a redirect to another server may keep. All others may be credentials.
_HARMLESS_HEADERS = ("accept", "accept-language", "user-agent")
_PATH_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class ProbeFailed(Exception):
    """The address responded, but not as expected."""


def to_check(monitor: Monitor) -> Check:
    """Return the monitor as a check.

    Its timeout is one second longer, because the probe's own timeout error is more precise.
    """
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
    response = _request(monitor)
    is_cut_off = len(response.content) == MAX_BODY_BYTES
    if not monitor.accepts(response.status_code):
        raise ProbeFailed(_describe_status(response, monitor))
    if monitor.contains and monitor.contains not in decode_body(
        response.content, response.headers.get("Content-Type", "")
    ):
        what = (
            f"the first {MAX_BODY_BYTES >> 20} MB of the response do"
            if is_cut_off
            else "the response does"
        )
        raise ProbeFailed(f"{what} not contain “{monitor.contains}”")
    if monitor.json_path:
        if is_cut_off:
            raise ProbeFailed(
                f"the response is larger than {MAX_BODY_BYTES >> 20} MB, so it was not read as JSON"
            )
        _check_json(response.content, monitor)
    return f"HTTP {response.status_code}"


def _request(monitor: Monitor) -> httpx.Response:
    """Request the monitor's address, following redirects if the monitor allows them.

    Raises ProbeFailed after MAX_REDIRECTS.
    """
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    method, url, body = monitor.method, monitor.url, monitor.body
    headers = {"User-Agent": f"opsportal/{settings.VERSION}", **monitor.headers}
    for _ in range(MAX_REDIRECTS + 1):
        seconds = max(0.001, ends_at - time.monotonic())
        client = outbound.Client(
            "monitor",
            timeout=seconds,
            connect=seconds,
            read=seconds,
            attempts=1,
            max_bytes=MAX_BODY_BYTES,
            truncate=True,
            breaker=False,  # a monitor must see each failure and each recovery
        )
        response = client.request(method, url, headers=headers, content=body or None, guard=True)
        location = response.headers.get("Location", "")
        if (
            not monitor.follow_redirects
            or response.status_code not in _REDIRECTS
            or not location
            or monitor.accepts(response.status_code)
        ):
            return response
        target = urljoin(url, location)
        # As in browsers: https://fetch.spec.whatwg.org/#http-redirect-fetch
        if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), ""
        if _origin(target) != _origin(url):
            if body:
                raise ProbeFailed(
                    f"HTTP {response.status_code} redirects the request's body to another server: {target[:200]}"
                )
            headers = _without_credentials(headers)
        url = target
    raise ProbeFailed(f"more than {MAX_REDIRECTS} redirects, the last one to {url[:200]}")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}


def _describe_status(response: httpx.Response, monitor: Monitor) -> str:
    text = f"HTTP {response.status_code}, expected {monitor.expected_status}"
    if response.status_code not in _REDIRECTS or monitor.follow_redirects:
        return text
    target = response.headers.get("Location", "")[:200]
    return f"{text}; it redirects to {target}, and this monitor does not follow redirects"


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
    guard.connect(parts.hostname or "", parts.port or 0, float(monitor.timeout_seconds)).close()
    return "connected"


def fetch_certificate_expiry(host: str, port: int, *, timeout: float = 5.0) -> datetime:
    """Return when the first of the host's certificates expires, because its addresses may serve different ones.

    Addresses that do not respond are left out. Raises OSError if none does, or ForbiddenAddress.
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
    context.verify_mode = ssl.CERT_NONE  # expired certificates must be readable; probes verify them
    with (
        socket.create_connection((address, port), timeout=timeout) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    if der is None:
        raise OSError(f"{host} sent no certificate")
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
