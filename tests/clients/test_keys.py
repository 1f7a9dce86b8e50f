"""Test that keys are issued, rotated with a grace period, revoked, and limited to their scopes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.clients import services
from core.clients.auth import app_for_key
from core.clients.key_use import key_uses
from core.clients.models import ApiKey, ClientKey, Scope
from tests.factories import make_app

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def key() -> ClientKey:
    app = make_app("shop", allowed_origins=["https://shop.example"], scrub_keys=["iban"])
    return services.issue_dsn_key(app=app)


# --- rotation --------------------------------------------------------------------------------------------


def test_a_rotated_dsn_key_stays_valid_for_the_grace_period(key: ClientKey) -> None:
    now = timezone.now()

    newer = services.rotate_dsn_key(key, now=now, grace=DAY)

    assert newer.public_key != key.public_key
    assert app_for_key(newer.public_key, Scope.INGEST)
    assert app_for_key(key.public_key, Scope.INGEST)
    assert key.revoked_at == now + DAY


def test_a_key_rotated_without_grace_is_revoked_immediately(key: ClientKey) -> None:
    services.rotate_dsn_key(key, now=timezone.now(), grace=timedelta(0))

    assert app_for_key(key.public_key, Scope.INGEST) is None


def test_revoking_ends_a_grace_period(key: ClientKey) -> None:
    now = timezone.now()
    services.rotate_dsn_key(key, now=now, grace=DAY)

    assert services.revoke(key, now=now)
    assert not services.revoke(key, now=now + DAY)
    assert app_for_key(key.public_key, Scope.INGEST) is None


def test_an_api_key_is_stored_as_a_hash_and_limited_to_its_scopes() -> None:
    app = make_app()
    key, secret = services.issue_api_key(app=app, scopes=["payments", "metrics"])

    stored = " ".join(str(value) for value in ApiKey.objects.values().get().values())
    assert secret not in stored
    assert app_for_key(secret, Scope.PAYMENTS) == app
    assert app_for_key(secret, Scope.METRICS) == app
    assert app_for_key(secret, Scope.RESERVATIONS) is None
    assert app_for_key(secret, Scope.ADMIN) is None

    _, newer = services.rotate_api_key(key, now=timezone.now(), grace=timedelta(0))
    assert app_for_key(secret, Scope.PAYMENTS) is None
    assert app_for_key(newer, Scope.PAYMENTS) == app


@pytest.mark.parametrize("scopes", [[], ["root"], ["payments", "root"]])
def test_a_key_without_known_scopes_is_not_created(scopes: list[str]) -> None:
    with pytest.raises(services.UnknownScope):
        services.issue_api_key(app=make_app(), scopes=scopes)


def test_a_dsn_key_can_only_send_reports(key: ClientKey) -> None:
    assert app_for_key(key.public_key, Scope.INGEST)
    assert app_for_key(key.public_key, Scope.METRICS)
    for scope in (Scope.PAYMENTS, Scope.RESERVATIONS, Scope.ADMIN):
        assert app_for_key(key.public_key, scope) is None


def test_the_last_use_of_keys_is_written_in_the_background(key: ClientKey) -> None:
    _, secret = services.issue_api_key(app=key.app, scopes=["admin"])
    app_for_key(key.public_key, Scope.INGEST)
    app_for_key(secret, Scope.ADMIN)

    key_uses.flush()

    key.refresh_from_db()
    assert key.last_used_at is not None
    assert ApiKey.objects.get().last_used_at is not None
    assert key_uses.flush() == 0


def test_the_first_apps_are_created_once() -> None:
    portal = services.ensure_portal_app()
    first = services.ensure_first_app()
    assert first is not None
    services.revoke(portal.keys.get(), now=timezone.now())

    services.ensure_portal_app()
    services.ensure_first_app()

    assert ClientKey.objects.count() == 2
    make_app("shop")
    assert services.ensure_first_app() is None
