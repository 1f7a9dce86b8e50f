"""Test that the portal limits a flood of invalid SAML responses, and refuses each of them without logging an error."""

import base64
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.servers.portal import Portal
from tests.servers.saml_provider import SAMLProviderDouble

COUNT, AT_A_TIME = 500, 50
ACS = "/admin/sso/environment/acs/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def encoded(document: bytes) -> bytes:
    return b"SAMLResponse=" + base64.b64encode(document).replace(b"+", b"%2B")


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
BODIES = {
    "nothing": b"",
    "noise": bytes(range(256)) * 8,
    "no base64": b"SAMLResponse=%25%25%25%00%ED%B3%BF",
    "no XML": encoded(b"\x00\xff" * 500),
    "entities": encoded(b'<!DOCTYPE a [<!ENTITY e0 "x">' + ENTITIES + b"]><a>&e9;</a>"),
    "external entity": encoded(b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>'),
    "deep": encoded(b"<a>" * 20_000),
    "wide": encoded(b"<a>" + b"<b/>" * 30_000 + b"</a>"),
    "too long": b"SAMLResponse=" + b"x" * 1_000_000,
    "many fields": b"&".join(b"f%d=x" % number for number in range(2_000)),
    "no parts": b"--x\r\nContent-Disposition: form-data; name",
    "too large": b"SAMLResponse=" + b"x" * (6 * 1024 * 1024),
}  # fmt: skip
REFUSED = {"many fields": 400, "too large": 413}


def headers_of(name: str) -> dict[str, str]:
    return {"Content-Type": "multipart/form-data; boundary=x"} if name == "no parts" else FORM


@pytest.fixture
def portal(make_portal: Callable[..., Portal], saml: SAMLProviderDouble) -> Portal:
    return make_portal(SSO_SAML_METADATA=saml.metadata(), SSO_EMAIL_DOMAINS="shop.example")


def flood(portal: Portal, names: list[str]) -> list[tuple[str, int]]:
    """Post the named bodies, AT_A_TIME in parallel, and return each name with the status of its response."""

    def send(part: list[str]) -> list[tuple[str, int]]:
        # If many threads share a client, httpx may close a connection that another thread is using.
        with httpx.Client(base_url=portal.base_url, timeout=60) as client:
            return [
                (name, client.post(ACS, content=BODIES[name], headers=headers_of(name)).status_code)
                for name in part
            ]

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        parts = pool.map(send, [names[start::AT_A_TIME] for start in range(AT_A_TIME)])
        return [answer for part in parts for answer in part]


def errors_in_log(portal: Portal) -> list[str]:
    lines = portal.web_log.read_text().splitlines()
    levels = ('"level":"error"', '"level":"critical"', '"exception"', "Traceback")
    return [line for line in lines if any(level in line for level in levels)]


def test_a_flood_is_limited_like_other_sign_ins(portal: Portal) -> None:
    portal.start()
    small = [name for name, body in BODIES.items() if len(body) < 100_000]

    statuses = Counter(status for _, status in flood(portal, (small * COUNT)[:COUNT]))

    # The limit is 20 responses per minute, and the flood may extend into a second minute.
    assert statuses.pop(429) >= COUNT - 2 * 20
    assert set(statuses) <= {302, 400}
    assert portal.client.get("/admin/login/").status_code == 200
    assert errors_in_log(portal) == []


def test_each_response_of_a_flood_is_refused_without_an_error(portal: Portal) -> None:
    portal.rows("UPDATE limits_ratelimittier SET is_enabled = false WHERE tier IN ('auth', 'read')")
    portal.start()
    names = [name for name in BODIES if name != "too large"] * COUNT
    names[COUNT - 5 :] = ["too large"] * 5

    answers = flood(portal, names)

    assert {one: status for one, status in answers if status != REFUSED.get(one, 302)} == {}
    kept = [name for name in BODIES if name not in REFUSED]
    for name in kept:
        with httpx.Client(base_url=portal.base_url, timeout=60) as browser:
            browser.post(ACS, content=BODIES[name], headers=headers_of(name))
            assert browser.get(f"{ACS}finish/").status_code == 401, name
    assert portal.value("SELECT count(*) FROM access_auditevent") == len(kept)
    assert errors_in_log(portal) == []
