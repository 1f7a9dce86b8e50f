"""Test that the views that apps call hundreds of times per second cache valid keys for five seconds."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from core.clients import auth, services
from core.clients.models import ApiKey, ClientApp, Scope, hash_secret
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    fake = SimpleNamespace(now=1000.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(auth, "time", fake)
    auth.forget_keys()
    yield fake
    auth.forget_keys()


def ask(secret: str) -> HttpResponse:
    headers = {"Authorization": f"Bearer {secret}"}
    return Client(headers=headers).get(reverse("reservations:availability"))  # type: ignore[return-value]


def test_a_valid_key_is_looked_up_once_in_five_seconds(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    really = auth.app_for_key
    monkeypatch.setattr(auth, "app_for_key", lambda *a: looked_up.append(a) or really(*a))  # type: ignore[func-returns-value]
    _, secret = services.issue_api_key(app=make_app(), scopes=[Scope.RESERVATIONS])

    for _ in range(3):
        assert ask(secret).status_code == 200
    assert len(looked_up) == 1

    clock.now += auth.CACHE_SECONDS
    assert ask(secret).status_code == 200
    assert len(looked_up) == 2


def test_a_key_revoked_in_this_process_is_rejected_immediately(clock: SimpleNamespace) -> None:
    key, secret = services.issue_api_key(app=make_app(), scopes=[Scope.RESERVATIONS])
    assert ask(secret).status_code == 200

    services.revoke(key, now=timezone.now())

    assert ask(secret).status_code == 403


def test_a_dsn_key_revoked_in_this_process_is_rejected_immediately(clock: SimpleNamespace) -> None:
    key = services.issue_dsn_key(app=make_app())
    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {key.public_key}"})
    assert auth.authenticate(request, Scope.METRICS, use_cache=True) == key.app

    services.revoke(key, now=timezone.now())

    with pytest.raises(auth.NotAllowed):
        auth.authenticate(request, Scope.METRICS, use_cache=True)


def test_changes_in_other_processes_apply_after_five_seconds(
    clock: SimpleNamespace,
) -> None:
    app = make_app()
    _, first = services.issue_api_key(app=app, scopes=[Scope.RESERVATIONS])
    _, second = services.issue_api_key(app=app, scopes=[Scope.RESERVATIONS])
    assert ask(first).status_code == ask(second).status_code == 200

    ApiKey.objects.filter(key_hash=hash_secret(first)).update(revoked_at=timezone.now())
    clock.now += auth.CACHE_SECONDS
    assert (ask(first).status_code, ask(second).status_code) == (403, 200)

    ClientApp.objects.update(is_active=False)
    clock.now += auth.CACHE_SECONDS
    assert ask(second).status_code == 403


def test_an_invalid_key_is_not_cached(clock: SimpleNamespace) -> None:
    key, secret = services.issue_api_key(app=make_app(), scopes=[Scope.PAYMENTS])
    assert ask(secret).status_code == 403

    ApiKey.objects.filter(pk=key.pk).update(scopes=[Scope.RESERVATIONS])

    assert ask(secret).status_code == 200
