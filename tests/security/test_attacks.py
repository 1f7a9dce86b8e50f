"""Test attacks other than unauthorized access: open redirects, SSRF, header injection, oversized input."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts import services
from alerts.models import Channel
from core.accounts.services import password_reset
from core.clients.models import ApiKey, Scope
from core.lib import outbound
from health.checking import probes
from health.models import Monitor
from tests.factories import make_app, make_monitor
from tests.lib.loopback import Loopback, answer, serving
from tests.security.paths import api_paths, page_paths

pytestmark = pytest.mark.django_db

FOREIGN_URLS = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "///evil.example",
    "javascript:alert(1)",
    "http:evil.example",
    " //evil.example",
    "https://testserver@evil.example/",
    "https://testserver.evil.example/",
    "/\t/evil.example/",
]


@pytest.fixture
def owner(admin_user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)
    return client


@pytest.fixture
def internal() -> Iterator[Loopback]:
    """Start a service in the internal network that attackers must not reach through the portal."""
    with serving(answer(200, b"internal secrets")) as server:
        yield server


# --- open redirects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("next_url", FOREIGN_URLS)
def test_signing_in_does_not_redirect_to_another_site(next_url: str) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    client = Client()
    response = client.post(
        f"/admin/login/?next={next_url}",
        {"username": "ada", "password": "correct-horse-battery", "next": next_url},
        follow=True,
    )
    locations = [location for location, _ in response.redirect_chain]
    assert all("evil" not in location.split("?")[0] for location in locations)
    assert all(location.startswith("/") and not location.startswith("//") for location in locations)


@pytest.mark.slow
def test_no_form_redirects_to_another_site(owner: Client) -> None:
    redirects = {}
    for path in page_paths():
        if "logout" in path:
            continue
        for next_url in FOREIGN_URLS[:2]:
            response = owner.post(
                f"{path}?next={next_url}", {"next": next_url, "action": "dismiss", "id": "1"}
            )
            location = response.headers.get("Location", "")
            if "evil.example" in location.split("?")[0]:
                redirects[path] = location
    assert redirects == {}


def test_a_password_reset_links_to_the_base_url_despite_a_forged_host(
    settings: Settings,
) -> None:
    settings.BASE_URL = "https://ops.example.com"
    user = User.objects.create_superuser("ada", "ada@shop.example", "correct-horse-battery")
    Client().post(
        "/admin/password_reset/",
        {"email": "ada@shop.example"},
        headers={"X-Forwarded-Host": "evil.example", "Host": "localhost"},
    )
    password_reset.send(user.pk)

    assert "https://ops.example.com/admin/reset/" in mail.outbox[0].body
    assert "evil.example" not in mail.outbox[0].body


# --- requests into the internal network (SSRF) --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("webhook", "url"),
        ("slack", "webhook_url"),
        ("teams", "webhook_url"),
        ("discord", "webhook_url"),
    ],
)
def test_no_channel_connects_to_the_internal_network(
    internal: Loopback, kind: str, setting: str
) -> None:
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
        channel = Channel.objects.create(
            name=f"{kind} {host}", kind=kind, config={setting: f"http://{host}:{internal.port}/"}
        )
        now = timezone.now()
        test = services.run_test(services.send_test(channel, now=now), now=now)
        assert "not a public address" in test.answer
    assert internal.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_no_monitor_connects_to_the_internal_network(internal: Loopback, scheme: str) -> None:
    monitor = make_monitor(f"{scheme}://127.0.0.1:{internal.port}/")
    with pytest.raises((outbound.OutboundError, OSError)):
        probes.probe(monitor)
    with pytest.raises((outbound.OutboundError, OSError)):
        probes.fetch_certificate_expiry("127.0.0.1", internal.port)
    assert internal.connections == 0


def test_the_monitor_form_rejects_an_internal_url_without_connecting(
    owner: Client, internal: Loopback
) -> None:
    response = owner.post(
        "/admin/health/monitor/add/",
        {"title": "inside", "url": f"http://127.0.0.1:{internal.port}/"},
    )
    assert "not a public address" in response.content.decode()
    assert not Monitor.objects.exists()
    assert internal.connections == 0


# --- header injection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["X-Request-ID", "Idempotency-Key", "X-Idempotency-Key", "Origin", "Referer"]
)
def test_a_line_break_in_a_request_header_adds_no_response_header(owner: Client, name: str) -> None:
    planted = "abcdefgh\r\nX-Planted: 1"
    for path in [*api_paths(), "/admin/system-health/", "/livez"]:
        response = owner.get(path, headers={name: planted})
        assert response.status_code < 500, path
        assert "X-Planted" not in response.headers
        assert all("\n" not in value for value in response.headers.values())


# --- oversized and malformed input ----------------------------------------------------------------------------


@pytest.mark.slow
def test_oversized_deeply_nested_and_invalid_bodies_are_refused() -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    client = Client(raise_request_exception=False)
    bodies = {
        "large": b'{"message": "' + b"x" * (6 * 1024 * 1024) + b'"}',
        "deep": b"[" * 100_000,
        "deep but closed": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        "not JSON": b"\xff\xfe\x00",
        "empty": b"",
        "a number": b"1" * 10_000,
        "wrong type": b'[{"message": 1}, null, "x"]',
    }
    wrong = {}
    for path in api_paths():
        for name, body in bodies.items():
            response = client.post(
                path,
                body,
                content_type="application/json",
                headers={"Authorization": f"Bearer {key}", "Idempotency-Key": f"key-of-{name}"},
            )
            if response.status_code >= 500 and response.status_code != 503:
                wrong[f"{path} {name}"] = response.status_code
    assert wrong == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/v1/reservations/",
            {"items": [{"ticket_type": 1, "quantity": 1}], "customer": "a\0b"},
        ),
        ("/api/v1/payments/", {"amount": 100, "currency": "EUR", "order_id": "a\0b"}),
        ("/api/v1/payments/", {"amount": 100, "currency": "EUR", "metadata": {"a\0b": "c"}}),
        ("/api/v1/signals/", {"signals": [{"type": "counter", "name": "a\0b"}]}),
        ("/api/v1/signals/", {"signals": [{"type": "activity", "user": "a\0b"}]}),
    ],
)
def test_nul_characters_are_refused_because_postgresql_cannot_store_them(
    path: str, body: dict[str, object]
) -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    response = Client().post(
        path,
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "key-with-nul"},
    )
    assert response.status_code == 422
    assert "NUL" in response.json()["detail"]


def test_a_backslash_followed_by_u0000_is_not_a_nul_character() -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    response = Client().post(
        "/api/v1/signals/",
        {"signals": [{"type": "counter", "name": "a\\u0000b"}]},
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert response.status_code < 300


@pytest.mark.parametrize("path", ["/admin/errors/?q=%00", "/status/confirm/a%00b/", "/a%00"])
def test_a_nul_character_in_a_url_is_refused(owner: Client, path: str) -> None:
    assert owner.get(path).status_code == 400


def test_forms_with_too_many_fields_or_too_much_data_are_refused(owner: Client) -> None:
    many = owner.post("/admin/alerts/", {f"field{n}": "x" for n in range(2_000)})
    large = owner.post("/admin/alerts/", {"text": "x" * (6 * 1024 * 1024)})

    assert many.status_code == 400
    assert large.status_code == 413
