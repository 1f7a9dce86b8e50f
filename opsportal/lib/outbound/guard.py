"""Which addresses a URL that somebody typed in may lead to (against server-side request forgery)."""

import ipaddress
import socket
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from opsportal.lib.outbound.exceptions import ForbiddenAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = (
    # Azure's metadata address lies in public space:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ipaddress.ip_network("168.63.129.16/32"),
    # Protocol assignments, and a cloud's metadata in them; older Pythons call most of these global.
    ipaddress.ip_network("192.0.0.0/24"),
)


def check_public_url(url: str) -> None:
    """Raises ForbiddenAddress, with the reason, unless the URL is http(s) and its host is public (or allowed).

    For forms: the answer is only as old as the name lookup. A guarded request checks again, at the connection itself.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ForbiddenAddress(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise ForbiddenAddress("only http:// and https:// addresses can be called")
    if not host:
        raise ForbiddenAddress("the URL names no host")
    if parts.username or parts.password:
        raise ForbiddenAddress("a user name or password does not belong into a URL")
    try:
        addresses = resolve(host, port or 443, timeout=3.0)
    except OSError as error:
        raise ForbiddenAddress(f"the host {host} is not known ({error})") from error
    check_addresses(host, addresses)


def check_addresses(host: str, addresses: Iterable[str]) -> None:
    """Raises ForbiddenAddress when any of a host's addresses is not public and not in ALLOW_PRIVATE_URLS."""
    allowed = [entry.strip().lower() for entry in settings.ALLOW_PRIVATE_URLS]
    if host.lower() in allowed:
        return
    for text in addresses:
        address = ipaddress.ip_address(text.split("%")[0])
        if not (is_public(address) or _is_allowed(address, allowed)):
            raise ForbiddenAddress(
                f"{host} leads to {address}, which is not a public address"
                " (if it must be called, list it in ALLOW_PRIVATE_URLS)"
            )


def is_public(address: Address) -> bool:
    """Whether the address is on the public internet, also when it hides inside an IPv6 transition address."""
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
            continue  # a host name
        if any(candidate in network for candidate in candidates):
            return True
    return False


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """The host's addresses. Raises OSError for an unknown one, TimeoutError (an OSError) when the lookup takes too long.

    getaddrinfo() knows no timeout, so it runs in a thread that is left behind when it hangs.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
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
        raise TimeoutError(f"looking up {host} took too long")
    return found
