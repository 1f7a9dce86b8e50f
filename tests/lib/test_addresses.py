"""Test that the portal trusts only the part of X-Forwarded-For that its own proxies have added."""

import pytest
from pytest_django.fixtures import Settings

from core.lib.addresses import client_address, network_of


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, None, "10.0.0.1"),
        (0, "1.1.1.1", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6,  1.1.1.1:4711", "1.1.1.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "6.6.6.6, nonsense", "10.0.0.1"),
        (1, "6.6.6.6,", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (2, "1.1.1.1, 10.0.0.2", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        (2, "10.0.0.2", "10.0.0.1"),
        (9, "6.6.6.6, 1.1.1.1", "10.0.0.1"),
    ],
)
def test_the_address_seen_by_our_outermost_proxy_is_used(
    settings: Settings, proxies: int, forwarded: str | None, expected: str
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    meta = {"REMOTE_ADDR": "10.0.0.1"}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded

    assert client_address(meta) == expected


def test_a_unix_socket_has_no_address(settings: Settings) -> None:
    assert client_address({"REMOTE_ADDR": ""}) == ""
    assert network_of("") == ""


def test_an_ipv6_network_is_one_client_and_ipv4_addresses_are_separate() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("1.2.3.4") != network_of("1.2.3.5")
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
