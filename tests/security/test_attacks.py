"""What an attacker tries beyond the doors: other sites, other networks, other headers, too much of everything."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts import services
from alerts.models import Channel
from core.accounts import password_reset
from core.clients.models import ApiKey, Scope
from core.lib import outbound
from health.checking import probes
from health.models import Monitor
from tests.factories import make_app, make_monitor
from tests.lib.loopback import Loopback, answer, serving
from tests.security.addresses import api, pages

pytestmark = pytest.mark.django_db

ELSEWHERE = [
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
    """A service of our own network that nobody outside may reach through us."""
    with serving(answer(200, b"internal secrets")) as server:
        yield server


# --- other sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("next_url", ELSEWHERE)
def test_signing_in_leads_to_no_other_site(next_url: str) -> None:
    User.objects.create_superuser("ada", password="correct-horse-battery")
    client = Client()
    response = client.post(
        f"/admin/login/?next={next_url}",
        {"username": "ada", "password": "correct-horse-battery", "next": next_url},
        follow=True,
    )
    assert all("evil" not in place.split("?")[0] for place, _ in response.redirect_chain)
    assert all(
        place.startswith("/") and not place.startswith("//") for place, _ in response.redirect_chain
    )


@pytest.mark.slow
def test_no_form_leads_to_another_site(owner: Client) -> None:
    led_away = {}
    for path in pages():
        if "logout" in path:
            continue
        for next_url in ELSEWHERE[:2]:
            response = owner.post(
                f"{path}?next={next_url}", {"next": next_url, "action": "dismiss", "id": "1"}
            )
            place = response.headers.get("Location", "")
            if "evil.example" in place.split("?")[0]:
                led_away[path] = place
    assert led_away == {}


def test_a_password_reset_names_our_own_address_whatever_host_is_claimed(
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


# --- other networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("webhook", "url"),
        ("slack", "webhook_url"),
        ("teams", "webhook_url"),
        ("discord", "webhook_url"),
    ],
)
def test_no_channel_reaches_into_our_network(internal: Loopback, kind: str, setting: str) -> None:
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
        channel = Channel.objects.create(
            name=f"{kind} {host}", kind=kind, config={setting: f"http://{host}:{internal.port}/"}
        )
        services.send_test(channel, now=timezone.now())
    assert internal.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_no_monitor_reaches_into_our_network(internal: Loopback, scheme: str) -> None:
    monitor = make_monitor(f"{scheme}://127.0.0.1:{internal.port}/")
    with pytest.raises((outbound.OutboundError, OSError)):
        probes.probe(monitor)
    with pytest.raises((outbound.OutboundError, OSError)):
        probes.fetch_certificate_expiry(f"https://127.0.0.1:{internal.port}/")
    assert internal.connections == 0


def test_the_form_says_so_before_anything_is_called(owner: Client, internal: Loopback) -> None:
    response = owner.post(
        "/admin/health/monitor/add/",
        {"title": "inside", "url": f"http://127.0.0.1:{internal.port}/"},
    )
    assert "not a public address" in response.content.decode()
    assert not Monitor.objects.exists()
    assert internal.connections == 0


# --- other headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["X-Request-ID", "Idempotency-Key", "X-Idempotency-Key", "Origin", "Referer"]
)
def test_nothing_a_caller_sends_becomes_a_header_of_the_answer(owner: Client, name: str) -> None:
    planted = "abcdefgh\r\nX-Planted: 1"
    for path in [*api(), "/admin/system-health/", "/livez"]:
        response = owner.get(path, headers={name: planted})
        assert response.status_code < 500, path
        assert "X-Planted" not in response.headers
        assert all("\n" not in value for value in response.headers.values())


# --- too much -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bodies_that_are_too_large_too_deep_or_no_json_are_refused() -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    client = Client(raise_request_exception=False)
    bodies = {
        "large": b'{"message": "' + b"x" * (6 * 1024 * 1024) + b'"}',
        "deep": b"[" * 100_000,
        "deep but closed": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        "no json": b"\xff\xfe\x00",
        "nothing": b"",
        "a number": b"1" * 10_000,
        "another shape": b'[{"message": 1}, null, "x"]',
    }
    wrong = {}
    for path in api():
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
def test_nul_which_postgresql_cannot_keep_is_refused(path: str, body: dict[str, object]) -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    response = Client().post(
        path,
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "key-with-nul"},
    )
    assert response.status_code == 422
    assert "NUL" in response.json()["detail"]


def test_a_backslash_that_only_looks_like_nul_is_none() -> None:
    _, key = ApiKey.issue(app=make_app("shop"), scopes=list(Scope.values))
    response = Client().post(
        "/api/v1/signals/",
        {"signals": [{"type": "counter", "name": "a\\u0000b"}]},
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert response.status_code < 300


@pytest.mark.parametrize("path", ["/admin/errors/?q=%00", "/status/confirm/a%00b/", "/a%00"])
def test_nul_in_an_address_is_refused(owner: Client, path: str) -> None:
    assert owner.get(path).status_code == 400


def test_forms_with_too_many_fields_or_too_much_in_them_are_refused(owner: Client) -> None:
    many = owner.post("/admin/alerts/", {f"field{n}": "x" for n in range(2_000)})
    large = owner.post("/admin/alerts/", {"text": "x" * (6 * 1024 * 1024)})

    assert many.status_code == 400
    assert large.status_code == 413
