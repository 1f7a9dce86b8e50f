"""Keys on the hot path: found without a query, and gone soon after they are revoked."""

import time
from datetime import timedelta

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from opsportal.clients import keys, services
from opsportal.clients.auth import app_for_key
from opsportal.clients.models import ApiKey, ClientApp, ClientKey, Scope
from tests.factories import make_app

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    keys.forget()


@pytest.fixture
def key() -> ClientKey:
    app = make_app("shop", allowed_origins=["https://shop.example"], scrub_keys=["iban"])
    return services.issue_dsn_key(app=app)


def test_a_live_key_resolves_to_its_app_with_all_limits(key: ClientKey) -> None:
    found = keys.resolve(key.app_id, key.public_key)

    assert found is not None
    assert (found.app_id, found.slug, found.retention_days) == (key.app_id, "shop", 30)
    assert found.allowed_origins == {"https://shop.example"}
    assert found.scrub_keys == {"iban"}
    assert keys.resolve(None, key.public_key) == found


def test_another_apps_project_id_or_a_made_up_key_resolves_to_nothing(key: ClientKey) -> None:
    assert keys.resolve(make_app().pk, key.public_key) is None
    assert keys.resolve(key.app_id, "0" * 32) is None
    assert keys.resolve(2**70, key.public_key) is None


@pytest.mark.parametrize("text", ["", "x", "A" * 32, "0" * 33, "' OR 1=1 --", "\x00" * 32])
def test_what_cannot_be_a_key_costs_no_query(
    text: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert keys.resolve(1, text) is None


def test_both_answers_are_remembered(
    key: ClientKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    keys.resolve(key.app_id, key.public_key)
    keys.resolve(key.app_id, "0" * 32)

    with django_assert_num_queries(0):
        assert keys.resolve(key.app_id, key.public_key)
        assert keys.resolve(key.app_id, "0" * 32) is None


def test_a_revoked_key_stops_at_once_here_and_within_seconds_elsewhere(
    key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys.resolve(key.app_id, key.public_key)
    services.revoke(key, now=timezone.now())
    assert keys.resolve(key.app_id, key.public_key) is None

    other = services.issue_dsn_key(app=key.app)
    assert keys.resolve(key.app_id, other.public_key)
    ClientKey.objects.filter(pk=other.pk).update(revoked_at=timezone.now())  # by another process
    assert keys.resolve(key.app_id, other.public_key)
    later = time.monotonic() + keys.TTL + 0.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert keys.resolve(key.app_id, other.public_key) is None


def test_switching_an_app_off_stops_its_keys(key: ClientKey) -> None:
    keys.resolve(key.app_id, key.public_key)

    app = ClientApp.objects.get(pk=key.app_id)
    app.is_active = False
    app.save()

    assert keys.resolve(key.app_id, key.public_key) is None


def test_made_up_keys_do_not_fill_the_memory(
    key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MOST", 20)

    for number in range(100):
        keys.resolve(1, f"{number:032x}")

    assert len(keys._known) <= 20


# --- rotating --------------------------------------------------------------------------------------------


def test_a_rotated_dsn_key_works_on_for_the_grace_period(key: ClientKey) -> None:
    now = timezone.now()

    newer = services.rotate_dsn_key(key, now=now, grace=DAY)

    assert newer.public_key != key.public_key
    assert keys.resolve(key.app_id, newer.public_key)
    assert keys.resolve(key.app_id, key.public_key)
    assert key.revoked_at == now + DAY


def test_a_key_rotated_now_stops_now(key: ClientKey) -> None:
    services.rotate_dsn_key(key, now=timezone.now(), grace=timedelta(0))

    assert keys.resolve(key.app_id, key.public_key) is None


def test_revoking_ends_a_grace_period(key: ClientKey) -> None:
    now = timezone.now()
    services.rotate_dsn_key(key, now=now, grace=DAY)

    assert services.revoke(key, now=now)
    assert not services.revoke(key, now=now + DAY)
    assert keys.resolve(key.app_id, key.public_key) is None


def test_an_api_key_is_stored_as_a_hash_and_does_only_what_its_scopes_say() -> None:
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
def test_a_key_without_known_scopes_is_not_made(scopes: list[str]) -> None:
    with pytest.raises(services.UnknownScope):
        services.issue_api_key(app=make_app(), scopes=scopes)


def test_a_dsn_key_may_post_and_nothing_else(key: ClientKey) -> None:
    assert app_for_key(key.public_key, Scope.INGEST)
    assert app_for_key(key.public_key, Scope.METRICS)
    for scope in (Scope.PAYMENTS, Scope.RESERVATIONS, Scope.ADMIN):
        assert app_for_key(key.public_key, scope) is None


def test_which_keys_are_in_use_is_written_down_beside_the_requests(key: ClientKey) -> None:
    _, secret = services.issue_api_key(app=key.app, scopes=["admin"])
    keys.resolve(key.app_id, key.public_key)
    app_for_key(secret, Scope.ADMIN)

    keys.write_down_used()

    key.refresh_from_db()
    assert key.last_used_at is not None
    assert ApiKey.objects.get().last_used_at is not None
    assert keys.write_down_used() == 0


def test_the_first_apps_are_made_once() -> None:
    portal = services.ensure_portal_app()
    first = services.ensure_first_app()
    assert first is not None
    services.revoke(portal.keys.get(), now=timezone.now())

    services.ensure_portal_app()
    services.ensure_first_app()

    assert ClientKey.objects.count() == 2
    make_app("shop")
    assert services.ensure_first_app() is None


def test_reading_a_key_is_one_query(key: ClientKey) -> None:
    from django.db import connection

    with CaptureQueriesContext(connection) as queries:
        keys.resolve(key.app_id, key.public_key)

    assert len(queries) == 1
