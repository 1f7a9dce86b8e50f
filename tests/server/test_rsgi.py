"""Test that the RSGI application in front of Django handles requests and responses correctly."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from django.test import Client

from opsportal.server.rsgi import MAX_UPLOAD_BYTES
from tests.servers.portal import Portal


@pytest.fixture(scope="module")
def portal(module_portal: Portal) -> Portal:
    return module_portal


def raw(portal: Portal, request: bytes) -> bytes:
    """Send `request`, and return all bytes that the portal sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", portal.port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_event_loop_answers_liveness_like_the_view(portal: Portal) -> None:
    given = {"X-Request-ID": "probe-12345"}

    from_loop = portal.client.get("/livez", headers=given)
    from_view = Client().get("/livez", headers=given)

    assert from_loop.status_code == from_view.status_code == 200
    assert from_loop.content == from_view.content
    for name in ("Content-Type", "X-Request-ID", "Content-Security-Policy", "Permissions-Policy"):
        assert from_loop.headers[name] == from_view.headers[name]
    assert "no-store" in from_loop.headers["Cache-Control"]
    assert portal.client.post("/livez").status_code != 200


def test_a_head_request_gets_the_headers_of_a_get(portal: Portal) -> None:
    answer = raw(portal, b"HEAD /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")  # fmt: skip

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert not body


def test_all_cookies_of_a_response_are_set(portal: Portal) -> None:
    page = portal.client.get("/admin/login/")
    login = {
        "username": "owner",
        "password": "correct-horse-battery",
        "csrfmiddlewaretoken": page.cookies["csrftoken"],
    }

    answer = portal.client.post("/admin/login/", data=login, headers={"Referer": portal.base_url})

    assert {cookie.name for cookie in answer.cookies.jar} >= {"sessionid", "csrftoken"}


def test_a_chunked_body_reaches_a_view(portal: Portal) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"signals": [{"type": "activity", '
        yield b'"user": "u-17"}]}'

    answer = portal.client.post(
        "/api/v1/signals/",
        content=pieces(),
        headers={**portal.api, "Content-Type": "application/json"},
    )

    assert answer.status_code in (200, 202), answer.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(portal: Portal, chunked: bool) -> None:
    body = b"[" + b" " * (6 * 1024 * 1024) + b"]"

    answer = portal.client.post(
        "/api/v1/signals/",
        content=iter([body]) if chunked else body,
        headers={**portal.api, "Content-Type": "application/json"},
    )

    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_file_of_a_release_is_accepted_up_to_its_own_limit(
    portal: Portal, chunked: bool
) -> None:
    def upload(size: int) -> httpx.Response:
        form = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="app.js"\r\n\r\n'
            + b"a" * size
            + b"\r\n--b--\r\n"
        )
        return portal.client.post(
            "/api/0/projects/acme/shop/releases/1.0/files/",
            content=iter([form[: 2**20], form[2**20 :]]) if chunked else form,
            headers={**portal.api, "Content-Type": "multipart/form-data; boundary=b"},
            timeout=60,
        )

    accepted, refused = upload(8 * 1024 * 1024), upload(MAX_UPLOAD_BYTES)

    assert accepted.status_code == 201, accepted.text
    assert accepted.json()["size"] == 8 * 1024 * 1024
    assert refused.status_code == 413
    assert refused.json()["detail"] == "the file is larger than 64 MiB"


def test_an_export_is_sent_in_pieces(portal: Portal) -> None:
    sent = [{"message": f"no answer from printer {number}"} for number in range(250)]
    portal.client.post("/api/v1/errors/", headers=portal.api, json=sent).raise_for_status()

    with portal.client.stream("GET", "/api/v1/error-events/export/", headers=portal.api) as answer:
        lines = [json.loads(line) for line in answer.iter_lines()]

    assert answer.status_code == 200
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert len(lines) >= 250
    assert all(line["payload"] for line in lines)


def test_a_header_with_underscores_cannot_replace_another(portal: Portal) -> None:
    def get_stats(header: bytes) -> bytes:
        head = (
            b"GET /api/v1/reservations/stats/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        )
        return raw(portal, head + b"%b: %b\r\n\r\n" % (header, portal.api_key.encode()))

    assert get_stats(b"X-API-Key").startswith(b"HTTP/1.1 200 ")
    assert get_stats(b"X_API_Key").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/caf%C3%A9", 404),
        (b"/%ff%fe", 404),
        (b"/admin/%00", 400),
        (b"/admin/login/?next=%00", 400),
        (b"//api//1//envelope?sentry_key=x", 405),
        (b"/../../etc/passwd", 404),
    ],
)
def test_unusual_urls_are_answered(portal: Portal, target: bytes, status: int) -> None:
    answer = raw(portal, b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % target)  # fmt: skip

    assert int(answer.split(b" ", 2)[1]) == status


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 600_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_malformed_requests_are_refused_and_the_portal_keeps_running(
    portal: Portal, request_bytes: bytes
) -> None:
    try:
        answer = raw(portal, request_bytes)
    except ConnectionError:
        answer = b""

    assert not answer or answer.split(b" ", 2)[1].startswith(b"4")
    assert httpx.get(f"{portal.base_url}/livez").status_code == 200
