"""Test that each tier limits each client, that responses state the limits, and that clients cannot evade them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.clients.models import ApiKey, ClientApp, Scope
from core.limits import blocked, tasks, tiers
from core.limits.models import BlockedCall, RateLimitTier, Tier
from opsportal.middleware import rate_limits
from tests.factories import make_app

pytestmark = [pytest.mark.urls("tests.platform.urls"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def default_limits() -> Iterator[None]:
    tiers.read_limits()
    blocked.blocked_calls.clear()
    yield
    tiers._limits = {(tier, ""): limit for tier, limit in tiers.DEFAULTS.items()}
    blocked.blocked_calls.clear()


def set_limit(
    tier: Tier, limit: int, *, app: ClientApp | None = None, is_enabled: bool = True
) -> None:
    RateLimitTier.objects.update_or_create(
        tier=tier, app=app, defaults={"limit": limit, "is_enabled": is_enabled}
    )
    tiers.read_limits()


def statuses(client: Client, count: int, path: str = "/breaks/fine", **headers: str) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("method", "path", "tier"),
    [
        ("GET", "/admin/login/", "read"),
        ("POST", "/admin/login/", "auth"),
        ("POST", "/api/v1/payments/intents/", "payment"),
        ("GET", "/api/v1/payments/intents/", "read"),
        ("POST", "/api/v1/reservations/", "payment"),
        ("POST", "/api/v1/checks/run/", "write"),
        ("POST", "/api/v1/signals/", "ingest"),
        ("GET", "/api/v1/heartbeats/8e0b3f0c-9f0d-4b7e-8e57-5a0a4a2f0001/", "ingest"),
        ("GET", "/ping/7f0c2b86-0000-4000-8000-000000000000/start", "ingest"),
        ("POST", "/tunnel/", None),
        ("POST", "/admin/password_reset/", "auth"),
        ("POST", "/admin/login/verify/", "auth"),
        ("POST", "/admin/sso/company/", "auth"),
        ("POST", "/admin/sso/company/acs/", "auth"),
        ("POST", "/admin/two-factor/", "auth"),
        ("POST", "/admin/reset/MQ/set-password/", "auth"),
        ("GET", "/admin/system-health/", "read"),
        ("POST", "/admin/alerts/systemalert/", "read"),
        ("GET", "/static/x.css", None),
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
        ("GET", "/health", None),
        ("GET", "/healthy-looking", "read"),
        ("GET", "/metrics", None),
        ("POST", "/webhooks/stripe/", None),
        ("POST", "/api/v1/webhooks/stripe/", None),
        ("POST", "/api/v1/payments/webhook/", None),
        ("POST", "/api/42/envelope/", None),
        ("POST", "/api/42/store/", None),
        ("POST", "/api/v1/errors/", None),
        ("GET", "/api/42/issues/", "read"),
    ],
)
def test_each_url_has_its_tier(method: str, path: str, tier: str | None) -> None:
    assert tiers.tier_of(method, path) == tier


def test_every_response_states_the_remaining_requests() -> None:
    first, second = (Client().get("/breaks/fine") for _ in range(2))

    assert first["X-RateLimit-Limit"] == "200"
    assert first["X-RateLimit-Remaining"] == "199"
    assert second["X-RateLimit-Remaining"] == "198"
    assert abs(int(first["X-RateLimit-Reset"]) - time.time() - 60) <= 2


def test_a_program_over_its_limit_gets_a_429_as_json() -> None:
    set_limit(Tier.READ, 2)
    statuses(Client(), 2, "/api/breaks/fine")
    refused = Client().get("/api/breaks/fine")

    assert refused.status_code == 429
    said = refused.json()
    assert said["error"] == "Too many requests"
    assert 1 <= said["retryAfter"] <= 60
    assert refused["Retry-After"] == str(said["retryAfter"])
    assert refused["X-RateLimit-Remaining"] == "0"
    assert said["request_id"] == refused["X-Request-ID"]


def test_a_person_over_the_limit_gets_a_page() -> None:
    set_limit(Tier.READ, 0)
    refused = Client().get("/breaks/fine", headers={"Accept": "text/html"})

    assert refused.status_code == 429
    assert b"Too many requests" in refused.content
    assert "script-src 'self'" in refused["Content-Security-Policy"]


def test_a_rejection_has_the_same_security_headers_as_other_responses(settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 60
    allowed = Client().get("/breaks/fine", secure=True)
    set_limit(Tier.READ, 0)
    refused = Client().get("/breaks/fine", secure=True)

    assert refused.status_code == 429
    assert "Strict-Transport-Security" in refused.headers
    of_the_body = {"Content-Length", "Vary"}
    assert set(allowed.headers) - of_the_body <= set(refused.headers)


def test_sign_in_has_its_own_low_limit() -> None:
    client = Client()
    codes = [
        client.post("/admin/login/", {"username": f"a{n}", "password": "b"}).status_code
        for n in range(21)
    ]
    assert codes == [200] * 20 + [429]
    assert client.get("/admin/login/").status_code == 200


def test_a_forged_forwarded_header_does_not_evade_the_limit(settings: Settings) -> None:
    set_limit(Tier.READ, 5)
    codes = [
        Client().get("/breaks/fine", headers={"X-Forwarded-For": f"9.9.9.{n}"}).status_code
        for n in range(8)
    ]
    assert codes == [200] * 5 + [429] * 3

    settings.TRUSTED_PROXY_COUNT = 1
    codes = [
        Client().get("/breaks/fine", headers={"X-Forwarded-For": f"9.9.9.{n}, 7.7.7.7"}).status_code
        for n in range(8)
    ]
    assert codes == [200] * 5 + [429] * 3


def test_switching_between_invented_keys_and_sessions_does_not_evade_the_limit() -> None:
    set_limit(Tier.READ, 5)
    client = Client(raise_request_exception=False)
    codes = []
    for n in range(12):
        client.cookies["sessionid"] = f"invented{n}"
        key = {"Authorization": f"Bearer ops_invented{n}"}
        codes.append(client.get("/api/breaks/key", headers=key).status_code)

    assert codes == [403] * 5 + [429] * 7


def test_an_ipv6_network_shares_a_limit() -> None:
    set_limit(Tier.READ, 5)
    codes = [
        Client(REMOTE_ADDR=f"2001:db8::{n:x}").get("/breaks/fine").status_code for n in range(1, 9)
    ]
    assert codes == [200] * 5 + [429] * 3
    assert Client(REMOTE_ADDR="2001:db8:0:1::1").get("/breaks/fine").status_code == 200


def test_a_verified_key_counts_as_its_app_from_any_address() -> None:
    set_limit(Tier.READ, 5)
    _, key = ApiKey.issue(app=make_app("shop"), scopes=[Scope.METRICS])
    handler_codes = []
    client = Client()
    for n in range(8):
        response = client.get(
            "/api/breaks/key",
            headers={"Authorization": f"Bearer {key}"},
            REMOTE_ADDR=f"9.9.9.{n}",
        )
        handler_codes.append(response.status_code)

    assert handler_codes == [200] * 5 + [429] * 3


def test_an_app_can_have_a_limit_of_its_own() -> None:
    app = make_app("busy")
    set_limit(Tier.READ, 2)
    set_limit(Tier.READ, 6, app=app)
    _, key = ApiKey.issue(app=app, scopes=[Scope.METRICS])

    codes = statuses(Client(), 8, "/api/breaks/key", Authorization=f"Bearer {key}")

    assert codes == [200] * 6 + [429] * 2


def test_refreshes_of_the_health_page_stay_within_the_limit(admin_client: Client) -> None:
    codes = statuses(admin_client, 400, "/breaks/user")
    assert set(codes) == {200}


def test_signed_in_users_are_not_limited_by_other_clients_at_their_address(
    admin_user: User,
) -> None:
    signed_in = Client()
    signed_in.force_login(admin_user)
    signed_in.get("/breaks/user")
    set_limit(Tier.READ, 3)
    statuses(Client(), 5)

    assert signed_in.get("/breaks/user").status_code == 200
    assert Client().get("/breaks/user").status_code == 429


def test_a_tier_can_be_disabled() -> None:
    set_limit(Tier.READ, 1, is_enabled=False)
    response = Client().get("/breaks/fine")

    assert statuses(Client(), 5) == [200] * 5
    assert "X-RateLimit-Limit" not in response


@pytest.mark.django_db(transaction=True)
def test_a_change_in_the_admin_applies_immediately(admin_client: Client) -> None:
    tier, _ = RateLimitTier.objects.get_or_create(tier=Tier.READ, defaults={"limit": 200})
    url = f"/admin/limits/ratelimittier/{tier.pk}/change/"
    response = admin_client.post(
        url, {"tier": "read", "app": "", "limit": 2, "window_seconds": 60, "is_enabled": "on"}
    )
    assert response.status_code == 302

    assert statuses(Client(), 2) == [200, 429]


def test_twenty_threads_get_exactly_the_limit() -> None:
    set_limit(Tier.READ, 50)
    tiers_before = tiers._limits
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: Client().get("/breaks/fine").status_code, range(200)))

    assert tiers._limits is tiers_before
    assert codes.count(200) == 50


def test_rejected_requests_are_recorded_per_minute_without_addresses() -> None:
    set_limit(Tier.READ, 1)
    statuses(Client(REMOTE_ADDR="203.0.113.77"), 4)
    statuses(Client(REMOTE_ADDR="203.0.113.78"), 2)

    assert blocked.blocked_calls.flush() == 4
    statuses(Client(REMOTE_ADDR="203.0.113.77"), 1)
    blocked.blocked_calls.flush()

    rows = BlockedCall.objects.order_by("-count")
    assert sum(row.count for row in rows) == 5
    assert rows[0].path == "/breaks/fine"
    for row in rows:
        assert row.subject.startswith("address:")
        assert "203.0.113" not in row.subject


@pytest.mark.slow
def test_a_flood_of_rejected_addresses_uses_bounded_memory() -> None:
    set_limit(Tier.READ, 0)
    for n in range(700):
        Client(REMOTE_ADDR=f"10.1.{n // 250}.{n % 250}").get("/breaks/fine")

    assert len(blocked.blocked_calls) <= blocked.MAX_SUBJECTS + 1
    blocked.blocked_calls.flush()
    assert sum(row.count for row in BlockedCall.objects.all()) == 700


def test_rejected_requests_are_deleted_after_thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH_SIZE", 2)
    now = timezone.now()
    for days in (0, 29, 31, 32, 33, 400):
        BlockedCall.objects.create(
            minute=now - timedelta(days=days), tier="read", subject=f"app:{days}", path="/", count=1
        )

    assert tasks.remove_old_blocked_calls() == {"deleted": 4}
    assert {row.subject for row in BlockedCall.objects.all()} == {"app:0", "app:29"}


def test_a_view_with_django_ratelimit_responds_in_the_same_way() -> None:
    client = Client()
    client.get("/api/breaks/often")
    refused = client.get("/api/breaks/often")

    assert refused.status_code == 429
    assert refused.json()["retryAfter"] == 60


def test_cached_callers_are_found_only_by_their_credential() -> None:
    known = rate_limits.KnownCallers()
    known.add("key", rate_limits.Caller("app:shop", "shop"))

    assert known.get("key")
    assert known.get("other") is None
