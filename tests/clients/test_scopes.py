"""Test that every URL of the API requires a key with the right scope."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from core.clients import services
from core.clients.models import ClientApp, Scope
from core.lib import ratelimit
from errors.ingest.authentication import key_cache
from tests.factories import make_app

pytestmark = pytest.mark.django_db

SCOPES = {
    "alerts:check-run": Scope.ADMIN,
    "alerts:on-call-now": Scope.ON_CALL,
    "alerts:on-call-override": Scope.ON_CALL,
    "alerts:on-call-overrides": Scope.ON_CALL,
    "alerts:on-call-shifts": Scope.ON_CALL,
    "alerts:receive-alertmanager": Scope.ALERTS,
    "alerts:receive-generic": Scope.ALERTS,
    "alerts:receive-grafana": Scope.ALERTS,
    "errors:api-count-list": Scope.ERRORS_READ,
    "errors:api-event-delete": Scope.ERRORS_WRITE,
    "errors:api-event-detail": Scope.ERRORS_READ,
    "errors:api-event-export": Scope.ERRORS_READ,
    "errors:api-event-search": Scope.ERRORS_READ,
    "errors:api-event-list": Scope.ERRORS_READ,
    "errors:api-group-act": Scope.ERRORS_WRITE,
    "errors:api-group-counts": Scope.ERRORS_READ,
    "errors:api-group-detail": Scope.ERRORS_READ,
    "errors:api-group-list": Scope.ERRORS_READ,
    "errors:api-release-list": Scope.ERRORS_READ,
    "errors:api-user-delete": Scope.ERRORS_WRITE,
    "errors:error-report": Scope.INGEST,
    "health:signal-post": Scope.METRICS,
    "impact:api": Scope.ADMIN,
    "otlp:traces": Scope.INGEST,
    "otlp:logs": Scope.INGEST,
    "otlp:metrics": Scope.METRICS,
    "payments:payment-create": Scope.PAYMENTS,
    "payments:payment-read": Scope.PAYMENTS,
    "payments:payment-cancel": Scope.PAYMENTS,
    "releases:deploy-record": Scope.RELEASES,
    "search:api": Scope.ADMIN,
    "reservations:availability": Scope.RESERVATIONS,
    "reservations:availability-event": Scope.RESERVATIONS,
    "reservations:reservation-create": Scope.RESERVATIONS,
    "reservations:reservation-stats": Scope.RESERVATIONS,
    "reservations:reservation-read": Scope.RESERVATIONS,
    "reservations:reservation-extend": Scope.RESERVATIONS,
    "reservations:reservation-cancel": Scope.RESERVATIONS,
    "reservations:reservation-complete": Scope.RESERVATIONS,
    "reservations:waiting-list": Scope.RESERVATIONS,
    "reservations:waiting-read": Scope.RESERVATIONS,
    "reservations:waiting-leave": Scope.RESERVATIONS,
}
CONFIG = (Scope.CONFIG_READ, Scope.CONFIG_WRITE)
INCIDENTS = (Scope.INCIDENTS_READ, Scope.INCIDENTS_WRITE)
# These URLs require one scope for GET, and another one for all other methods.
READ_AND_WRITE = {
    f"config:{kind}{suffix}": scopes
    for kind, scopes in {
        "channels": CONFIG,
        "checks": CONFIG,
        "heartbeats": CONFIG,
        "incident-templates": CONFIG,
        "incidents": INCIDENTS,
        "maintenance-windows": INCIDENTS,
        "monitors": CONFIG,
        "notification-rules": CONFIG,
        "overrides": CONFIG,
        "people": CONFIG,
        "rotations": CONFIG,
        "rules": CONFIG,
        "schedules": CONFIG,
        "silences": INCIDENTS,
        "status-pages": CONFIG,
        "teams": CONFIG,
        "types": CONFIG,
    }.items()
    for suffix in ("", "-object")
}
# Requests to these views need no key, because the view is public, Stripe signs the request, or the URL has a secret.
WITHOUT_A_KEY = {
    "clients:openapi",
    "payments:webhook-receive",
    "payments:webhook-endpoint",
    "health:heartbeat-ping",
    "health:heartbeat-step",
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "alerts:on-call-override": {"pk": 1, "override_id": 1},
    "alerts:on-call-overrides": {"pk": 1},
    "alerts:on-call-shifts": {"pk": 1},
    "errors:api-event-delete": {"event_id": uuid.uuid4()},
    "errors:api-event-detail": {"event_id": uuid.uuid4()},
    "errors:api-event-list": {"group_id": 1},
    "errors:api-group-counts": {"group_id": 1},
    "errors:api-group-detail": {"group_id": 1},
    "impact:api": {"kind": "alert", "id": 1},
    "reservations:waiting-read": {"reference": uuid.uuid4()},
    "reservations:waiting-leave": {"reference": uuid.uuid4()},
    "payments:payment-read": {"reference": uuid.uuid4()},
    "payments:payment-cancel": {"reference": uuid.uuid4()},
    "reservations:availability-event": {"slug": "event"},
    "reservations:reservation-read": {"reference": uuid.uuid4()},
    "reservations:reservation-extend": {"reference": uuid.uuid4()},
    "reservations:reservation-cancel": {"reference": uuid.uuid4()},
    "reservations:reservation-complete": {"reference": uuid.uuid4()},
}


def addresses(
    resolver: URLResolver, prefix: str = "", namespace: str = ""
) -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, path, entry.namespace or namespace)
        elif isinstance(entry, URLPattern):
            yield path, f"{namespace}:{entry.name}"


def call(name: str, key: str) -> HttpResponse:
    ratelimit.memory.clear()
    key_cache.clear()
    url = reverse(name, kwargs=ARGUMENTS.get(name))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = Client().post(url, b"{}", "application/json", headers=headers)
    if answer.status_code == 405:
        answer = Client().get(url, headers=headers)
    if answer.status_code == 405:
        answer = Client().delete(url, headers=headers)
    return answer  # type: ignore[return-value]


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def test_the_lists_contain_every_url_of_the_api() -> None:
    found = {
        name for path, name in addresses(get_resolver()) if path.startswith(("api/v1/", "v1/"))
    }

    assert found == set(SCOPES) | set(READ_AND_WRITE) | WITHOUT_A_KEY


@pytest.mark.parametrize("name", SCOPES)
def test_a_missing_key_is_a_401_and_an_unknown_key_a_403(name: str) -> None:
    assert call(name, "").status_code == 401
    assert call(name, "ops_made-up").status_code == 403
    assert call(name, "0" * 32).status_code == 403


@pytest.mark.parametrize("name", SCOPES)
def test_a_key_with_all_other_scopes_is_rejected(app: ClientApp, name: str) -> None:
    others = [scope for scope in Scope.values if scope != SCOPES[name]]
    _, wrong = services.issue_api_key(app=app, scopes=others)
    _, right = services.issue_api_key(app=app, scopes=[SCOPES[name]])

    assert call(name, wrong).status_code == 403
    assert call(name, right).status_code not in (401, 403, 405)


@pytest.mark.parametrize("name", SCOPES)
def test_a_dsn_key_is_accepted_only_for_reports(app: ClientApp, name: str) -> None:
    key = services.issue_dsn_key(app=app).public_key
    may = SCOPES[name] in (Scope.INGEST, Scope.METRICS)

    assert (call(name, key).status_code != 403) is may


@pytest.mark.parametrize("name", SCOPES)
def test_a_revoked_key_or_a_key_of_a_disabled_app_is_rejected(app: ClientApp, name: str) -> None:
    key, secret = services.issue_api_key(app=app, scopes=[SCOPES[name]])
    services.revoke(key, now=timezone.now())
    assert call(name, secret).status_code == 403

    _, another = services.issue_api_key(app=app, scopes=[SCOPES[name]])
    ClientApp.objects.update(is_active=False)
    assert call(name, another).status_code == 403


def methods_of(name: str) -> list[tuple[str, Scope]]:
    read, write = READ_AND_WRITE[name]
    writes = ("PATCH", "DELETE") if name.endswith("-object") else ("POST",)
    return [("GET", read), *((method, write) for method in writes)]


@pytest.mark.parametrize("name", READ_AND_WRITE)
def test_each_method_requires_its_own_scope(app: ClientApp, name: str) -> None:
    url = reverse(name, kwargs={"object_id": 1_000_000} if name.endswith("-object") else None)
    dsn_key = services.issue_dsn_key(app=app).public_key
    for method, scope in methods_of(name):
        others = [one for one in Scope.values if one != scope]
        _, wrong = services.issue_api_key(app=app, scopes=others)
        _, right = services.issue_api_key(app=app, scopes=[scope])

        def status(key: str, method: str = method) -> int:
            ratelimit.memory.clear()
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = Client().generic(method, url, b"{}", "application/json", headers=headers)
            return answer.status_code

        assert status("") == 401, method
        assert status("ops_made-up") == status(dsn_key) == status(wrong) == 403, method
        assert status(right) not in (401, 403, 405), method


def test_each_scope_has_a_label_that_does_not_refer_to_another_scope() -> None:
    labels = [str(scope.label) for scope in Scope]
    assert len(set(labels)) == len(labels)
    assert [label for label in labels if " them" in label or " it" in label.split(",")] == []
