"""Find the address of a request's client, trusting only the portal's own proxies."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest


def client_address(meta: Mapping[str, Any]) -> str:
    """Return the client's address from a request's META or a WSGI environ.

    Each proxy appends the address of its peer to X-Forwarded-For. With n trusted proxies, the client's address is the
    one n + 1 places from the end, where REMOTE_ADDR counts as the last; the client may have forged all entries before
    it. If the header is too short or the entry is not an address, return REMOTE_ADDR, which cannot be forged.
    """
    remote: str = meta.get("REMOTE_ADDR") or ""
    if not proxies:
        return remote
    chain: list[str] = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), remote]
    if len(chain) <= proxies:
        return remote
    return _parsed(chain[-(proxies + 1)]) or remote


_IPV4 = re.compile(r"[1-9]\d{0,2}(?:\.(?:0|[1-9]\d{0,2})){3}", re.ASCII)


# Read the setting only once, because reading it takes longer than the rest of client_address().
proxies: int = settings.TRUSTED_PROXY_COUNT


@receiver(setting_changed)
def _update_proxies(*, setting: str, **_: object) -> None:
    """Update the copy of the setting when a test overrides it."""
    global proxies
    if setting == "TRUSTED_PROXY_COUNT":
        proxies = settings.TRUSTED_PROXY_COUNT


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address, or the IPv6 /64 that each subscriber gets.

    Return the first 64 characters of any other text.
    """
    # Fast path: most clients have an IPv4 address, and parsing it would be slower.
    if _IPV4.fullmatch(address):
        return address
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def address_of(request: HttpRequest) -> str:
    """Return the client's address. django-ratelimit calls this through settings.RATELIMIT_IP_META_KEY."""
    return client_address(request.META)


def _parsed(text: str) -> str:
    """Return the address from an entry of X-Forwarded-For without its port, or "" if the entry has no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
