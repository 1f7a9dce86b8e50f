"""Restrict the addresses that user-entered URLs may lead to, against server-side request forgery (SSRF)."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import urlsplit

from django.conf import settings

from core.lib.outbound.exceptions import ForbiddenAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = (
    # Azure's metadata service, which has an address in public address space:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ipaddress.ip_network("168.63.129.16/32"),
    # Reserved for protocols, although older Python versions consider it global. It contains a cloud's metadata address.
    ipaddress.ip_network("192.0.0.0/24"),
)


def check_public_url(url: str) -> None:
    """Raise ForbiddenAddress with the reason unless the URL is http(s) without credentials to an allowed host and port.

    Forms use this for validation. The host's addresses may change later, so a guarded request checks again when it
    connects.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ForbiddenAddress(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise ForbiddenAddress("only http:// and https:// URLs are supported")
    if not host:
        raise ForbiddenAddress("the URL has no host")
    if parts.username or parts.password:
        raise ForbiddenAddress("the URL must not contain a user name or password")
    check_port(port or 443)
    check_host(host)


def check_host(host: str) -> None:
    """Raise ForbiddenAddress, with the reason, unless a host can be resolved and is public or allowed.

    Forms use this for validation.
    """
    try:
        addresses = resolve(host, 443, timeout=3.0)
    except OSError as error:
        raise ForbiddenAddress(f"the host {host} cannot be resolved ({error})") from error
    check_addresses(host, addresses)


def check_port(port: int) -> None:
    """Raise ForbiddenAddress if the port is in DENIED_PORTS."""
    if port in settings.DENIED_PORTS:
        raise ForbiddenAddress(
            f"port {port} is used by another protocol (to allow it, remove it from DENIED_PORTS)"
        )


def check_addresses(host: str, addresses: Iterable[str]) -> None:
    """Raise ForbiddenAddress if an address is not public, and neither it nor the host is in ALLOW_PRIVATE_URLS."""
    allowed = [entry.strip().lower() for entry in settings.ALLOW_PRIVATE_URLS]
    if host.lower() in allowed:
        return
    for text in addresses:
        address = ipaddress.ip_address(text.split("%")[0])
        if not (is_public(address) or _is_allowed(address, allowed)):
            raise ForbiddenAddress(
                f"{host} resolves to {address}, which is not a public address"
                " (to allow it, add it to ALLOW_PRIVATE_URLS)"
            )


def is_public(address: Address) -> bool:
    """Return True if the address is on the public internet. For an IPv6 transition address, check the address in it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo:
            inner = address.teredo[1]
        elif address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner:
            return is_public(inner)
        if address.is_site_local:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NEVER)
    )


def _is_allowed(address: Address, allowed: Iterable[str]) -> bool:
    candidates = [address]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        candidates.append(address.ipv4_mapped)
    for entry in allowed:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue  # The entry is a host name, not a network.
        if any(candidate in network for candidate in candidates):
            return True
    return False


def share_time(addresses: Sequence[str], seconds: float) -> Iterator[tuple[str, float]]:
    """Yield each address of a host with the time to spend on it: an equal share of the remaining `seconds`.

    Without shares, an address that never responds, as in a broken IPv6 network, would use up the whole time.
    """
    ends_at = time.monotonic() + seconds
    for index, address in enumerate(addresses):
        left = ends_at - time.monotonic()
        if left <= 0 and index:
            return
        yield address, max(left, 0.001) / (len(addresses) - index)


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to the first address of a host that accepts. All addresses of the host must be public or allowed.

    The connection is made to a checked address instead of the name, which could resolve to another address the second
    time. Raises ForbiddenAddress if an address is not allowed, and OSError if the connection fails.
    """
    ends_at = time.monotonic() + timeout
    addresses = resolve(host, port, timeout)
    check_addresses(host, addresses)
    error: OSError | None = None
    for address, seconds in share_time(addresses, ends_at - time.monotonic()):
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except OSError as failure:
            error = failure
    raise error or OSError(f"{host} has no address")


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """Return the host's addresses. Raises OSError for an unknown host and TimeoutError, an OSError, after `timeout`.

    getaddrinfo() has no timeout, so it runs in a thread, which is abandoned if it hangs.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    remembered = _remembered.get()
    if remembered is None:
        return _look_up(host, port, timeout)
    if host not in remembered:
        remembered[host] = _try(host, port, timeout)
    answer = remembered[host]
    if isinstance(answer, OSError):
        raise answer
    return answer


@contextmanager
def remember_lookups(hosts: Iterable[str]) -> Iterator[None]:
    """Resolve each host only once within this block.

    The given hosts are resolved at the same time before the block begins. Use this to validate many forms in one
    transaction, which must not wait for name servers.
    """
    wanted = list(dict.fromkeys(hosts))
    with ThreadPoolExecutor(16, thread_name_prefix="name lookups") as pool:
        answers = pool.map(lambda host: _try(host, 443, 3.0), wanted)
        token = _remembered.set(dict(zip(wanted, answers, strict=True)))
    try:
        yield
    finally:
        _remembered.reset(token)


# Maps a host to its addresses or to the error of the lookup.
_remembered: ContextVar[dict[str, list[str] | OSError] | None] = ContextVar(
    "remembered_lookups", default=None
)


def _try(host: str, port: int, timeout: float) -> list[str] | OSError:
    try:
        return _look_up(host, port, timeout)
    except OSError as error:
        return error


def _look_up(host: str, port: int, timeout: float) -> list[str]:
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError(str(error)))
        else:
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    thread = threading.Thread(target=look_up, name="name lookup", daemon=True)
    thread.start()
    thread.join(timeout)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"resolving {host} timed out")
    return found
