"""Probe TCP ports, hosts by ICMP echo ("ping"), and DNS records."""

import contextlib
import ipaddress
import os
import socket
import struct
import time
from urllib.parse import urlsplit

import dns.exception
import dns.name
import dns.rdata
import dns.resolver
import dns.reversename
from django.conf import settings

from core.lib.outbound import guard
from health.checking.values import ProbeFailed
from health.models import Monitor, RecordType, ValueMatch
from health.monitor_types import may_use_port

DNS_PORT = 53
PING_COUNT = 3  # The probe sends more requests only while none was answered.
_ECHO_REQUEST: dict[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY: dict[int, int] = {socket.AF_INET: 0, socket.AF_INET6: 129}
CANNOT_PING = (
    "this machine does not allow the portal to send pings (set net.ipv4.ping_group_range to include the portal's"
    " group, for example with sysctl -w net.ipv4.ping_group_range='0 2147483647'), so use a tcp:// address instead"
)


class CannotPing(ProbeFailed):
    """The kernel of this machine does not allow the portal to send ICMP echo requests."""

    def __init__(self) -> None:
        super().__init__(CANNOT_PING)


def check_port(monitor: Monitor) -> None:
    """Raise ForbiddenAddress if DENIED_PORTS contains the port, unless the monitor's type uses the port."""
    if not may_use_port(monitor.type, monitor.port, settings.DENIED_PORTS):
        guard.check_port(monitor.port)


def probe_tcp(monitor: Monitor) -> str:
    check_port(monitor)
    guard.connect(monitor.host, monitor.port, float(monitor.timeout_seconds)).close()
    return "connected"


# --- ping ------------------------------------------------------------------------------------------------


def probe_ping(monitor: Monitor) -> str:
    """Send up to PING_COUNT echo requests to each address until one is answered.

    Raises OSError if there is no answer within the monitor's time limit, ForbiddenAddress if the portal may not
    connect to an address, and CannotPing if the kernel forbids pings.
    """
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    addresses = guard.resolve(monitor.host, 0, float(monitor.timeout_seconds))
    guard.check_addresses(monitor.host, addresses)
    error: OSError | None = None
    for address, seconds in guard.share_time(addresses, ends_at - time.monotonic()):
        try:
            return _ping(address, seconds)
        except OSError as failure:
            error = failure
    raise error or OSError(f"{monitor.host} has no address")


def _ping(address: str, seconds: float) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with _open_icmp_socket(family) as connection:
        connection.connect((address, 0))
        for number in range(1, PING_COUNT + 1):
            payload = os.urandom(16)
            started = time.perf_counter()
            connection.send(_echo_request(family, number, payload))
            if _is_answered(connection, family, payload, seconds / PING_COUNT):
                duration_ms = (time.perf_counter() - started) * 1000
                extra = f", to request {number} of {PING_COUNT}" if number > 1 else ""
                return f"{address} answered in {duration_ms:.1f} ms{extra}"
    raise TimeoutError(f"{address} did not answer {PING_COUNT} echo requests")


def _open_icmp_socket(family: int) -> socket.socket:
    """Open an unprivileged ICMP socket or, if that is forbidden, a raw one.

    Raises CannotPing if neither is permitted.
    """
    protocol = socket.getprotobyname("ipv6-icmp" if family == socket.AF_INET6 else "icmp")
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(PermissionError):
            return socket.socket(family, kind, protocol)
    raise CannotPing


def _echo_request(family: int, number: int, payload: bytes) -> bytes:
    """Return an ICMP echo request (https://www.rfc-editor.org/rfc/rfc792).

    For ICMPv6, the kernel replaces the checksum.
    """
    identifier = os.getpid() & 0xFFFF

    def pack(checksum: int) -> bytes:
        return struct.pack("!BBHHH", _ECHO_REQUEST[family], 0, checksum, identifier, number)

    return pack(_checksum(pack(0) + payload)) + payload


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _is_answered(connection: socket.socket, family: int, payload: bytes, seconds: float) -> bool:
    """Return True if a reply with this payload arrives within `seconds`.

    Other packets are ignored, because a raw socket also receives the packets of other programs.
    """
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            packet = connection.recv(2048)
        except TimeoutError:
            return False
        if family == socket.AF_INET and connection.type == socket.SOCK_RAW and packet:
            # A raw socket's packet begins with the IP header, so skip it.
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if packet[:1] == bytes([_ECHO_REPLY[family]]) and packet[8:] == payload:
            return True
    return False


# --- DNS -------------------------------------------------------------------------------------------------


def probe_dns(monitor: Monitor) -> str:
    """Query the monitor's DNS records and compare them with the expected records.

    Raises ProbeFailed if an expected record is missing, if there is another record although the monitor requires an
    exact match, or if the query fails. Raises TimeoutError if the name server does not answer.
    """
    seconds = float(monitor.timeout_seconds)
    try:
        resolver = _resolver(monitor.resolver, seconds)
        answer = resolver.resolve(_name(monitor), monitor.record_type, search=False)
    except dns.resolver.NXDOMAIN:
        raise ProbeFailed(f"{monitor.host} does not exist") from None
    except dns.resolver.NoAnswer:
        raise ProbeFailed(f"{monitor.host} has no {monitor.record_type} record") from None
    except dns.resolver.NoNameservers as error:
        raise ProbeFailed(f"the name server refused or failed: {_last_line(error)}") from None
    except dns.resolver.LifetimeTimeout:
        raise TimeoutError(f"no answer from the name server within {seconds:g} s") from None
    except dns.exception.DNSException as error:
        raise ProbeFailed(str(error) or type(error).__name__) from None
    found = sorted(_record_text(record) for record in answer)
    expected = sorted(
        {_normalize(line) for line in monitor.expected_value.splitlines() if line.strip()}
    )
    shown = ", ".join(found)
    missing = [value for value in expected if value not in found]
    if missing:
        raise ProbeFailed(f"the answer is “{shown[:200]}”, and “{missing[0][:200]}” is missing")
    if monitor.value_match == ValueMatch.EXACTLY and expected and found != expected:
        extra = next(value for value in found if value not in expected)
        raise ProbeFailed(f"the answer is “{shown[:200]}”, and “{extra[:200]}” is not expected")
    return f"{monitor.record_type} {shown[:300]}"


def _resolver(address: str, seconds: float) -> dns.resolver.Resolver:
    """Return a resolver for the name server at `address`, or for this machine's name servers if `address` is empty."""
    if not address:
        resolver = dns.resolver.Resolver()
    else:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port or DNS_PORT
        if port != DNS_PORT:
            guard.check_port(port)
        addresses = guard.resolve(host, port, seconds)
        guard.check_addresses(host, addresses)
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = addresses
        resolver.port = port
    resolver.lifetime = seconds
    # A lost packet must not use up all the time, so one attempt gets only a part of it.
    resolver.timeout = max(seconds / 3, 0.5)
    return resolver


def _name(monitor: Monitor) -> dns.name.Name:
    if monitor.record_type == RecordType.PTR:
        with contextlib.suppress(dns.exception.SyntaxError):
            return dns.reversename.from_address(monitor.host)
    return dns.name.from_text(monitor.host)


def _record_text(record: dns.rdata.Rdata) -> str:
    """Return a record in its usual notation.

    A TXT record has no quotes, and names have no final dot.
    """
    strings = getattr(record, "strings", None)
    if strings is not None:
        return str(b"".join(strings).decode(errors="replace"))
    return _normalize(record.to_text())


def _normalize(text: str) -> str:
    text = text.strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    # The case of names does not matter, but the case of other values does, such as the tag of a CAA record.
    parts = (
        part.rstrip(".").lower() if part.endswith(".") or "." in part else part
        for part in text.split()
    )
    return " ".join(parts)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200]
