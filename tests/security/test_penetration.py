"""Attack a served portal from outside, as a penetration test does. SECURITY.md lists the results."""

import gzip
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.lib.loopback import answer, serving
from tests.servers.portal import Portal

pytestmark = pytest.mark.servers
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def portal(module_portal: Portal) -> Portal:
    return module_portal


@pytest.fixture
def browser(portal: Portal) -> Iterator[httpx.Client]:
    """Yield an HTTP client that is not signed in."""
    with httpx.Client(base_url=portal.base_url, timeout=30) as client:
        yield client


def token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found
    return found[1]


def sign_in(browser: httpx.Client, next_url: str = "/admin/") -> httpx.Response:
    form = browser.get("/admin/login/").text
    return browser.post(
        "/admin/login/",
        params={"next": next_url},
        data={
            "csrfmiddlewaretoken": token_in(form),
            "username": "owner",
            "password": PASSWORD,
            "next": next_url,
        },
    )


# --- sessions and forms ------------------------------------------------------------------------


def test_a_session_id_chosen_by_an_attacker_is_replaced_at_sign_in(
    portal: Portal, browser: httpx.Client
) -> None:
    chosen = "a" * 32
    browser.cookies.set("sessionid", chosen)

    assert sign_in(browser).status_code == 302

    own = [cookie.value for cookie in browser.cookies.jar if cookie.name == "sessionid"][-1]
    assert own != chosen
    stolen = httpx.get(f"{portal.base_url}/admin/", cookies={"sessionid": chosen})
    assert "/admin/login/" in stolen.headers["Location"]


def test_signing_out_ends_the_session_on_the_server(portal: Portal, browser: httpx.Client) -> None:
    sign_in(browser)
    cookies = dict(browser.cookies)
    form = browser.get("/admin/password_change/").text

    browser.post("/admin/logout/", data={"csrfmiddlewaretoken": token_in(form)})

    replayed = httpx.get(f"{portal.base_url}/admin/", cookies=cookies)
    assert "/admin/login/" in replayed.headers["Location"]


@pytest.mark.parametrize("token", ["", "x" * 64, "another person's"])
def test_a_form_without_the_csrf_token_of_the_session_is_refused(
    portal: Portal, token: str
) -> None:
    if token == "another person's":
        token = token_in(httpx.get(f"{portal.base_url}/admin/login/").text)

    response = portal.client.post(
        "/admin/impact/erase/",
        headers=portal.staff,
        data={"customer": "buyer-17", "step": "confirmed", "csrfmiddlewaretoken": token},
    )

    assert response.status_code == 403
    assert portal.rows("SELECT count(*) FROM impact_erasure") == [(0,)]


def test_a_form_from_another_site_is_refused(portal: Portal, browser: httpx.Client) -> None:
    form = browser.get("/admin/login/").text
    response = browser.post(
        "/admin/login/",
        headers={"Origin": "https://evil.example"},
        data={
            "csrfmiddlewaretoken": token_in(form),
            "username": "owner",
            "password": PASSWORD,
        },
    )

    assert response.status_code == 403
    assert "sessionid" not in response.cookies


@pytest.mark.parametrize(
    "next_url",
    ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)"],
)
def test_signing_in_redirects_only_to_a_page_of_the_portal(
    browser: httpx.Client, next_url: str
) -> None:
    location = sign_in(browser, next_url).headers["Location"]

    assert location.startswith("/admin/")


# --- keys and tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/payments/"),
        ("POST", "/api/v1/reservations/"),
        ("GET", "/api/v1/error-groups/"),
        ("GET", "/api/v1/config/monitors/"),
    ],
)
def test_a_public_key_only_reports_errors(portal: Portal, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {portal.public_key}"}

    assert portal.client.request(method, path, headers=headers, json={}).status_code in (401, 403)


def test_an_api_key_does_not_count_as_a_session_and_a_session_does_not_count_as_an_api_key(
    portal: Portal,
) -> None:
    key, session = portal.api_key, portal.seeded.session
    page = portal.client.get("/admin/", headers={"Cookie": f"sessionid={key}"})
    with_key = portal.client.get("/admin/", headers=portal.api)
    api = portal.client.get("/api/v1/error-groups/", headers={"Authorization": f"Bearer {session}"})
    with_cookie = portal.client.get("/api/v1/error-groups/", headers=portal.staff)

    assert page.status_code == with_key.status_code == 302
    assert api.status_code == 403  # The session token is not an existing API key.
    assert with_cookie.status_code == 401  # A cookie does not count as a key.


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer null", "Basic OjpvcHNf", "Bearer ' OR 1=1 --"]
)
def test_a_malformed_key_is_refused(portal: Portal, header: str) -> None:
    response = portal.client.get("/api/v1/error-groups/", headers={"Authorization": header})

    assert response.status_code in (401, 403)


# --- requests into the internal network --------------------------------------------------------

INTERNAL_HOSTS = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", INTERNAL_HOSTS)
@pytest.mark.parametrize("kind", ["channels", "monitors"])
def test_an_address_in_the_internal_network_is_refused(
    portal: Portal, kind: str, host: str
) -> None:
    with serving(answer(200, b"internal secrets")) as internal:
        url = f"http://{host}:{internal.port}/"
        body = (
            {"name": "probe", "kind": "webhook", "settings": {"url": url, "secret": "s" * 20}}
            if kind == "channels"
            else {"name": "probe", "url": url}
        )
        response = portal.client.post(f"/api/v1/config/{kind}/", headers=portal.api, json=body)
        assert internal.requests == []
    assert response.status_code == 422
    assert "not a public address" in response.json()["detail"]


# --- bombs and slow clients --------------------------------------------------------------------


def memory_mb(portal: Portal) -> float:
    """Return the resident memory of the web process in MiB."""
    assert portal.web
    status = Path(f"/proc/{portal.web.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def bomb(encoding: str) -> bytes:
    """Return 200 MiB of zeros, compressed to about 200 kB."""
    if encoding == "gzip":
        return gzip.compress(bytes(200 * 1024 * 1024), compresslevel=6)
    return zlib.compress(bytes(200 * 1024 * 1024), level=6)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_decompression_bomb_is_refused_without_using_much_memory(
    portal: Portal, encoding: str
) -> None:
    body = bomb(encoding)
    before = memory_mb(portal)

    for path in (f"/api/{portal.seeded.app_id}/envelope/", "/api/v1/errors/"):
        key = portal.public_key
        response = portal.client.post(
            f"{path}?sentry_key={key}",
            content=body,
            headers={"Content-Encoding": encoding, "Authorization": f"Bearer {key}"},
        )
        assert response.status_code == 413

    assert memory_mb(portal) - before < 100


def test_clients_that_send_nothing_do_not_block_other_clients(portal: Portal) -> None:
    head = b"POST /api/v1/errors/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    slow = [socket.create_connection(("127.0.0.1", portal.port)) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(head)
        answers = [portal.client.get("/livez", timeout=5).status_code for _ in range(20)]
        assert answers == [200] * 20
        still_open = [connection for connection in slow if is_open(connection)]
        # The slow clients were still connected when the other requests were answered.
        assert len(still_open) > 200
    finally:
        for connection in slow:
            connection.close()


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
