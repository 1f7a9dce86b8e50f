"""Test /livez, /readyz and /health."""

import threading
import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.clients.models import ApiKey, Scope
from health.extension_points import NotConfigured
from health.models import CheckResult, Component, Uptime
from health.services import run_checks
from health.views import health
from tests.factories import make_app
from tests.health.conftest import SetChecks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let /health wait until all checks have ended, even on a slow machine."""
    monkeypatch.setattr(health, "HEALTH_TIMEOUT_SECONDS", 60)


def fine() -> str:
    return "answers from db.internal"


def broken() -> str:
    raise ConnectionError("db.internal refused")


def off() -> str:
    raise NotConfigured("no key")


def test_liveness_runs_no_query(client: Client, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        response = client.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


def test_a_portal_with_its_own_checks_is_ready(client: Client) -> None:
    body = client.get("/health").json()

    assert body["checks"]["database"]["status"] == "healthy"
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_healthy_response_lists_every_check(client: Client, set_checks: SetChecks) -> None:
    set_checks(database=(fine, {"critical": True}), stripe=off)

    response = client.get("/health")

    body = response.json()
    assert response.status_code == 200
    assert body["status"] == "healthy"
    assert body["version"]
    assert body["timestamp"].endswith("Z")
    assert body["checks"]["database"]["status"] == "healthy"
    assert body["checks"]["database"]["responseTime"] >= 0
    assert body["checks"]["stripe"]["status"] == "not_configured"


def test_an_optional_failure_degrades_the_status_and_a_critical_failure_returns_503(
    client: Client, set_checks: SetChecks
) -> None:
    set_checks(database=(fine, {"critical": True}), mail=broken)
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")

    set_checks(database=(broken, {"critical": True}), mail=fine)
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["failing"]) == (503, ["database"])


def test_messages_are_shown_only_to_staff_and_admin_keys(
    client: Client, set_checks: SetChecks
) -> None:
    set_checks(database=(fine, {"critical": True}))
    _, secret = ApiKey.issue(app=make_app(), scopes=[Scope.ADMIN])
    _, weak = ApiKey.issue(app=make_app(), scopes=[Scope.METRICS])

    public = client.get("/health")
    token = client.get("/health", headers={"Authorization": f"Bearer {secret}"})
    other = client.get("/health", headers={"Authorization": f"Bearer {weak}"})
    client.force_login(User.objects.create_user("staff", is_staff=True))
    staff = client.get("/health")

    assert "db.internal" not in public.content.decode() + other.content.decode()
    assert token.json()["checks"]["database"]["message"] == "answers from db.internal"
    assert staff.json()["checks"]["database"]["message"] == "answers from db.internal"
    assert "private" in staff["Cache-Control"]


def test_the_health_json_media_type_is_supported(client: Client, set_checks: SetChecks) -> None:
    set_checks(database=(fine, {"critical": True}), mail=broken)

    response = client.get("/health", headers={"Accept": "application/health+json"})

    assert response["Content-Type"] == "application/health+json"
    assert response.json()["status"] == "warn"
    assert response.json()["checks"]["mail:responseTime"][0]["status"] == "fail"
    assert "max-age" in response["Cache-Control"]


def test_a_hanging_dependency_does_not_delay_the_response(
    client: Client, set_checks: SetChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "HEALTH_TIMEOUT_SECONDS", 2)
    release = threading.Event()
    set_checks(
        database=(fine, {"critical": True}), hole=(lambda: str(release.wait(60)), {"timeout": 60.0})
    )
    try:
        started = time.monotonic()
        body = client.get("/health").json()
        # The limit leaves a margin for busy test machines.
        assert time.monotonic() - started < 20
    finally:
        release.set()

    assert body["checks"]["database"]["status"] == "healthy"
    assert body["checks"]["hole"]["status"] == "unknown"
    assert body["status"] == "degraded"


def test_stored_results_are_used_instead_of_running_the_checks_again(
    client: Client, set_checks: SetChecks
) -> None:
    runs: list[int] = []

    def counted() -> str:
        runs.append(1)
        return "ok"

    set_checks(database=(fine, {"critical": True}), stripe=counted, twilio=off)
    run_checks(now=timezone.now(), pause=0)

    body = client.get("/health").json()

    assert body["checks"]["stripe"]["status"] == "healthy"
    assert len(runs) == 1
    assert CheckResult.objects.count() == 2  # Unconfigured checks record no results.
    assert Uptime.objects.filter(component__name="stripe", healthy=1).count() == 2
    assert Component.objects.get(name="twilio").status == "not_configured"


def test_a_failed_check_is_repeated_before_the_status_changes(set_checks: SetChecks) -> None:
    answers = iter(["ok", "fail", "ok", "fail", "fail", "ok", "ok"])

    def scripted() -> str:
        if next(answers) == "fail":
            raise TimeoutError
        return ""

    set_checks(stripe=scripted)

    assert run_checks(now=timezone.now(), pause=0) == {"stripe": "healthy"}
    # The first failure does not change the status.
    assert run_checks(now=timezone.now(), pause=0) == {"stripe": "healthy"}
    # The second consecutive failure changes the status.
    assert run_checks(now=timezone.now(), pause=0) == {"stripe": "unhealthy"}
    # The second consecutive success ends the failure.
    assert run_checks(now=timezone.now(), pause=0) == {"stripe": "healthy"}
    assert list(answers) == []
