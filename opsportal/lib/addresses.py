"""Whose request it is: the client's address, believed only as far as our own proxies vouch for it."""

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
    """The address of the request with this META (or WSGI environ).

    Each proxy appends to X-Forwarded-For whom it heard from, so with n of our own before us the client stands n + 1
    places from the end, REMOTE_ADDR being the last; anything further left, the client may have written itself.
    A header that is too short or no address: then REMOTE_ADDR, which nobody can forge.
    """
    remote: str = meta.get("REMOTE_ADDR") or ""
    if not proxies:
        return remote
    chain: list[str] = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), remote]
    if len(chain) <= proxies:
        return remote
    return _parsed(chain[-(proxies + 1)]) or remote


_IPV4 = re.compile(r"[1-9]\d{0,2}(?:\.(?:0|[1-9]\d{0,2})){3}", re.ASCII)


proxies: int = settings.TRUSTED_PROXY_COUNT  # asking the settings takes longer than all the rest


@receiver(setting_changed)
def _read_count(*, setting: str, **_: object) -> None:
    global proxies
    if setting == "TRUSTED_PROXY_COUNT":  # in tests
        proxies = settings.TRUSTED_PROXY_COUNT


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, of which one subscriber has all addresses."""
    if _IPV4.fullmatch(address):  # nearly all, and there is one way to write it
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
    """For django-ratelimit: settings.RATELIMIT_IP_META_KEY."""
    return client_address(request.META)


def _parsed(text: str) -> str:
    """The address in one entry of X-Forwarded-For, which may carry a port, or ""."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
