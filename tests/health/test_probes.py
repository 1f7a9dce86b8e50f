"""Test that a monitor is up only if the server at its URL responds as configured."""

from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from core.lib import outbound
from core.lib.outbound import guard
from health.checking import probes
from health.checking.values import ProbeFailed
from health.extension_points import Degraded
from tests.factories import make_monitor
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    settings.NETWORK_PROBES = []


@pytest.fixture(autouse=True)
def only_monitors(set_checks: SetChecks) -> None:
    set_checks()


@pytest.mark.parametrize(
    ("fields", "answer", "error"),
    [
        ({}, {"status": 204}, ""),
        ({}, {"status": 500}, "HTTP 500, expected 200-299"),
        ({"expected_status": "301, 500-503"}, {"status": 502}, ""),
        ({}, {"body": b"x" * (6 << 20)}, ""),
        ({"contains": "ready"}, {"body": b"x" * (3 << 20) + b"ready"}, ""),
        (
            {"contains": "ready"},
            {"body": b"x" * (6 << 20) + b"ready"},
            "the first 4 MB of the response do not contain “ready”",
        ),
        ({"json_path": "ok"}, {"body": b" " * (6 << 20) + b"{}"}, "larger than 4 MB"),
        (
            {"contains": "Verfügbar"},
            {"body": '<meta charset="iso-8859-1"><p>Verfügbar'.encode("latin-1")},
            "",
        ),
        ({"contains": "ready"}, {"body": b"we are ready"}, ""),
        ({"contains": "ready"}, {"body": b"starting"}, "does not contain"),
        (
            {"json_path": "checks[0].state", "json_value": "up"},
            {"json": {"checks": [{"state": "up"}]}},
            "",
        ),
        (
            {"json_path": "checks[1].state"},
            {"json": {"checks": [{"state": "up"}]}},
            "has no checks[1].state",
        ),
        ({"json_path": "ok", "json_value": "true"}, {"json": {"ok": False}}, "is “false”"),
        ({"json_path": "ok"}, {"body": b"<html>"}, "not JSON"),
    ],
)
def test_a_response_must_match_the_expectations_of_the_monitor(
    fake: FakeHTTP, fields: dict[str, str], answer: dict[str, object], error: str
) -> None:
    fake.answer(**answer)  # type: ignore[arg-type]
    monitor = make_monitor(fake.url, **fields)

    if error:
        with pytest.raises(ProbeFailed, match=error.replace("[", r"\[")):
            probes.probe(monitor)
    else:
        probes.probe(monitor)


def test_headers_body_and_method_are_sent(fake: FakeHTTP) -> None:
    probes.probe(
        make_monitor(fake.url, method="POST", headers={"X-Token": "t"}, body='{"ping": 1}')
    )
    [sent] = fake.requests
    assert (sent.method, sent.headers["x-token"], sent.body) == ("POST", "t", b'{"ping": 1}')


def redirecting(fake: FakeHTTP, *steps: tuple[str, int, str]) -> str:
    """Let the server redirect paths: each step is a path, a status and a target. Return the first path's URL."""
    for path, status, target in steps:
        fake.answer(status, headers={"Location": target}, path=path, times=None)
    return fake.url + steps[0][0]


def test_redirects_are_followed_to_the_final_response(fake: FakeHTTP) -> None:
    url = redirecting(fake, ("/a", 301, "/b"), ("/b", 307, f"{fake.url}/c"))
    fake.answer(200, body=b"ready", path="/c", times=None)

    assert probes.probe(make_monitor(url, contains="ready")) == "HTTP 200"
    assert [request.path for request in fake.requests] == ["/a", "/b", "/c"]


def test_a_redirect_that_is_not_followed_is_reported_with_its_target(fake: FakeHTTP) -> None:
    url = redirecting(fake, ("/old", 302, "/new"))

    with pytest.raises(
        ProbeFailed,
        match="HTTP 302, expected 200-299; it redirects to /new, and this monitor does not follow",
    ):
        probes.probe(make_monitor(url, follow_redirects=False))


def test_an_expected_redirect_is_not_followed(fake: FakeHTTP) -> None:
    url = redirecting(fake, ("/old", 301, "/new"))
    assert probes.probe(make_monitor(url, expected_status="301")) == "HTTP 301"
    assert len(fake.requests) == 1


def test_endless_redirects_fail(fake: FakeHTTP) -> None:
    url = redirecting(fake, ("/loop", 302, "/loop"))
    with pytest.raises(ProbeFailed, match="more than 5 redirects"):
        probes.probe(make_monitor(url))
    assert len(fake.requests) == 6


def test_credentials_are_not_sent_to_the_server_that_a_redirect_leads_to(
    fake: FakeHTTP, fake_http: Callable[[], FakeHTTP]
) -> None:
    other = fake_http()
    url = redirecting(fake, ("/same", 302, "/away"), ("/away", 302, f"{other.url}/home"))

    probes.probe(make_monitor(url, headers={"Authorization": "Bearer t", "Accept": "text/html"}))

    assert [r.headers.get("authorization") for r in fake.requests] == ["Bearer t"] * 2
    [received] = other.requests
    assert ("authorization" in received.headers, received.headers["accept"]) == (False, "text/html")


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, "GET", b""), (303, "GET", b""), (307, "POST", b"x=1")]
)
def test_a_redirect_of_a_post_keeps_or_drops_the_body_as_in_browsers(
    fake: FakeHTTP, status: int, method: str, body: bytes
) -> None:
    url = redirecting(fake, ("/form", status, "/done"))
    probes.probe(make_monitor(url, method="POST", body="x=1"))
    assert (fake.requests[-1].method, fake.requests[-1].body) == (method, body)


def test_a_body_is_not_sent_to_another_server(
    fake: FakeHTTP, fake_http: Callable[[], FakeHTTP]
) -> None:
    other = fake_http()
    url = redirecting(fake, ("/form", 307, f"{other.url}/done"))
    with pytest.raises(ProbeFailed, match="redirects the request's body to another server"):
        probes.probe(make_monitor(url, method="POST", body="x=1"))
    assert not other.requests


def test_redirects_to_private_addresses_are_forbidden(fake: FakeHTTP) -> None:
    url = redirecting(fake, ("/in", 302, "http://10.0.0.1/secret"))
    with pytest.raises(outbound.ForbiddenAddress):
        probes.probe(make_monitor(url))


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_every_address_of_a_name_is_tried(
    fake: FakeHTTP, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No server listens on the first address.
    monkeypatch.setattr(guard, "resolve", lambda *args: ["127.0.0.2", "127.0.0.1"])
    port = fake.url.rsplit(":", 1)[1]
    probes.probe(make_monitor(f"{scheme}://shop.example.com:{port}"))


def test_an_address_that_never_answers_leaves_time_for_the_others() -> None:
    shares = guard.share_time(["192.0.2.1", "192.0.2.2", "192.0.2.3"], 6.0)
    assert [(address, round(seconds)) for address, seconds in shares] == [
        ("192.0.2.1", 2),
        ("192.0.2.2", 3),
        ("192.0.2.3", 6),
    ]


def test_a_slow_response_is_degraded(fake: FakeHTTP) -> None:
    fake.answer(200, delay=0.15)
    with pytest.raises(Degraded, match="the limit is 50 ms"):
        probes.probe(make_monitor(fake.url, latency_limit_ms=50))


def test_a_tcp_monitor_connects_to_the_port(fake: FakeHTTP, closed_port: int) -> None:
    port = fake.url.rsplit(":", 1)[1].strip("/")
    assert probes.probe(make_monitor(f"tcp://127.0.0.1:{port}")) == "connected"
    with pytest.raises(ConnectionRefusedError):
        probes.probe(make_monitor(f"tcp://127.0.0.1:{closed_port}"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "tcp://127.0.0.1:1", "http://[::1]/"])
def test_private_addresses_are_forbidden(settings: Settings, url: str) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    with pytest.raises(outbound.ForbiddenAddress):
        probes.probe(make_monitor(url))
