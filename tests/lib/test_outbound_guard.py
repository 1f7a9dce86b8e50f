"""Test that the outbound guard refuses requests to private addresses and to ports of other protocols."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from core.lib import outbound
from core.lib.outbound import breaker, guard
from tests.lib.loopback import answer, serving


@pytest.fixture(autouse=True)
def closed_breakers() -> Iterator[None]:
    breaker.reset_all()
    yield
    breaker.reset_all()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
    ],
)
def test_private_addresses_are_rejected(host: str) -> None:
    with pytest.raises(outbound.ForbiddenAddress):
        outbound.check_public_url(f"http://{host}/")
    with pytest.raises((outbound.ForbiddenAddress, outbound.Unavailable)):
        outbound.Client("hook", attempts=1).request("POST", f"http://{host}/", guard=True)


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "https://[2606:4700::1111]/x?y=z"])
def test_public_addresses_are_accepted(url: str) -> None:
    outbound.check_public_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "http://u:p@8.8.8.8/",
        "http:///x",
        "",
        "http://x:99999/",
    ],
)
def test_invalid_urls_are_rejected(url: str) -> None:
    with pytest.raises(outbound.ForbiddenAddress):
        outbound.check_public_url(url)


@pytest.mark.parametrize("port", [22, 25, 110, 587, 6000])
def test_ports_of_other_protocols_are_rejected(port: int) -> None:
    url = f"http://8.8.8.8:{port}/"

    with pytest.raises(outbound.ForbiddenAddress, match=f"port {port} "):
        outbound.check_public_url(url)
    with pytest.raises(outbound.ForbiddenAddress, match=f"port {port} "):
        outbound.Client("hook", attempts=1).request("GET", url, guard=True)


def test_the_denied_ports_can_be_changed(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    with serving(answer()) as server:
        settings.DENIED_PORTS = [server.port]
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.check_public_url(server.url)
        settings.DENIED_PORTS = []
        outbound.check_public_url(server.url)


def test_allowed_private_addresses_can_be_called(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    with serving(answer()) as server:
        outbound.check_public_url(server.url)
        response = outbound.Client("hook").request("POST", server.url, guard=True)

    assert response.status_code == 200


def test_a_host_that_becomes_private_after_the_check_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = iter([["93.184.216.34"], ["127.0.0.1"]])
    monkeypatch.setattr(guard, "resolve", lambda *a, **k: next(addresses))

    with serving(answer()) as server:
        url = f"http://rebinding.example:{server.port}/"
        outbound.check_public_url(url)
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.Client("hook").request("GET", url, guard=True)

    assert server.connections == 0


def test_one_private_address_among_public_ones_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "resolve", lambda *a, **k: ["93.184.216.34", "10.0.0.1"])

    with pytest.raises(outbound.ForbiddenAddress, match=r"10\.0\.0\.1"):
        outbound.check_public_url("http://mixed.example/")


def test_a_failing_host_does_not_block_other_hosts(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1", "localhost"]
    with serving(answer(500)) as dead, serving(answer()) as well:
        hook = outbound.Client("hook", attempts=1)
        for _ in range(5):
            hook.request("GET", dead.url, guard=True)

        other = f"http://localhost:{well.port}/"
        assert hook.request("GET", other, guard=True).status_code == 200
