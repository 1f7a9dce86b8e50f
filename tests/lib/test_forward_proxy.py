"""Test that the forward proxy passes data on as it arrives, and connects only to allowed addresses."""

import base64
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from core.lib.outbound.forward_proxy import ForwardProxy
from tests.servers.fake_http import FakeHTTP

HEAD = "POST {url}/hook HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {key}\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture
def fake() -> Iterator[FakeHTTP]:
    server = FakeHTTP()
    yield server
    server.close()


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy(10) as running:
        yield running


def connect(proxy: ForwardProxy, url: str) -> socket.socket:
    """Return a connection to the proxy on which the headers of a request, but not its body, have been sent."""
    parts = urlsplit(proxy.url)
    key = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    client.sendall(HEAD.format(url=url, key=key).encode())
    return client


def read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def test_a_body_that_arrives_after_its_head_is_passed_on(
    settings: Settings, proxy: ForwardProxy, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    fake.answer(200, body="hello")
    with connect(proxy, fake.url) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)  # The server responds only after it has received the body.
        client.settimeout(10)
        client.sendall(b"body")
        received = read_all(client)

    assert received.startswith(b"HTTP/1.")
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"hello")
    [request] = fake.requests
    assert (request.path, request.body) == ("/hook", b"body")
    assert "proxy-authorization" not in request.headers


def test_a_private_address_is_refused(
    settings: Settings, proxy: ForwardProxy, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    with connect(proxy, fake.url) as client:
        assert read_all(client).startswith(b"HTTP/1.1 502 ")

    assert proxy.is_forbidden
    assert not fake.requests
