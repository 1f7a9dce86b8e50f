"""Test that users with the right permissions can create, rotate and revoke an app's keys on a page."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from core.clients import services
from core.clients.auth import app_for_key
from core.clients.models import ApiKey, ClientApp, ClientKey, Scope
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    app = make_app("shop", platform="python")
    services.issue_dsn_key(app=app)
    return app


def staff_with(*codenames: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def keys_url(app: ClientApp, rest: str = "") -> str:
    return f"/admin/apps/{app.pk}/keys/{rest}"


def test_the_page_shows_the_dsn_and_setup_instructions(
    admin_client: Client, app: ClientApp
) -> None:
    page = admin_client.get(keys_url(app)).content.decode()

    dsn = app.keys.get().dsn
    assert f'id="dsn-{app.keys.get().pk}">{dsn}<' in page
    assert "pip install sentry-sdk" in page
    assert "/api/v1/errors/" in page


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        (Scope.RELEASES, ["SENTRY_AUTH_TOKEN=ops_"]),
        (
            Scope.ALERTS,
            [
                "/api/v1/alerts/receive/alertmanager/",
                "credentials: ops_",
                "/api/v1/alerts/receive/grafana/",
                "/api/v1/alerts/receive/generic/ \\",
            ],
        ),
        (Scope.INGEST, []),
    ],
)
def test_a_new_key_is_shown_with_the_values_to_enter_in_the_calling_system(
    admin_client: Client, app: ClientApp, scope: Scope, shown: list[str]
) -> None:
    page = admin_client.post(keys_url(app, "api/add/"), {"scope": scope}).content.decode()

    assert "Copy the new API key now" in page
    assert all(text in page for text in shown)
    assert ("SENTRY_AUTH_TOKEN" in page) == (scope == Scope.RELEASES)
    assert ("alerts/receive" in page) == (scope == Scope.ALERTS)


def test_registering_an_app_redirects_to_its_first_key(admin_client: Client) -> None:
    answer = admin_client.post(
        "/admin/clients/clientapp/add/",
        {
            "name": "Gate", "slug": "gate", "platform": "go", "is_active": "on", "retention_days": "30",
            "allowed_origins": "https://gate.example\nhttps://gate.example:8443", "scrub_keys": "iban\n",
        },
    )  # fmt: skip

    app = ClientApp.objects.get(slug="gate")
    assert answer["Location"] == keys_url(app)
    assert app.allowed_origins == ["https://gate.example", "https://gate.example:8443"]
    assert app.scrub_keys == ["iban"]
    assert app.keys.count() == 1


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/path", "*", "ftp://x"])
def test_an_invalid_origin_is_rejected(admin_client: Client, origin: str) -> None:
    answer = admin_client.post(
        "/admin/clients/clientapp/add/",
        {
            "name": "G",
            "slug": "g",
            "platform": "go",
            "retention_days": "30",
            "allowed_origins": origin,
        },
    )

    assert answer.status_code == 200
    assert "is not an origin" in answer.content.decode()


def test_the_list_and_the_form_open(admin_client: Client, app: ClientApp) -> None:
    assert keys_url(app) in admin_client.get("/admin/clients/clientapp/").content.decode()
    assert (
        keys_url(app)
        in admin_client.get(f"/admin/clients/clientapp/{app.pk}/change/").content.decode()
    )
    assert admin_client.get("/admin/clients/clientapp/add/").status_code == 200


def test_a_dsn_key_is_added_rotated_and_revoked(admin_client: Client, app: ClientApp) -> None:
    first = app.keys.get()

    admin_client.post(keys_url(app, "dsn/add/"), {"label": "staging"})
    assert set(app.keys.values_list("label", flat=True)) == {"default", "staging"}

    admin_client.post(keys_url(app, f"dsn/{first.pk}/rotate/"))
    first.refresh_from_db()
    assert first.revoked_at
    assert first.revoked_at > timezone.now()
    assert app_for_key(first.public_key, Scope.INGEST)

    admin_client.post(keys_url(app, f"dsn/{first.pk}/revoke/"))
    assert app_for_key(first.public_key, Scope.INGEST) is None
    assert f"{first.public_key[:8]}…" in admin_client.get(keys_url(app)).content.decode()


def test_a_key_can_be_rotated_without_grace(admin_client: Client, app: ClientApp) -> None:
    first = app.keys.get()

    admin_client.post(keys_url(app, f"dsn/{first.pk}/rotate/"), {"when": "now"})

    assert app_for_key(first.public_key, Scope.INGEST) is None
    assert ClientKey.objects.live().filter(app=app).count() == 1


def test_the_secret_of_an_api_key_is_shown_once_and_not_cached(
    admin_client: Client, app: ClientApp
) -> None:
    answer = admin_client.post(
        keys_url(app, "api/add/"), {"label": "server", "scope": ["payments", "reservations"]}
    )

    found = re.search(r'id="new-secret">(ops_[\w-]+)<', answer.content.decode())
    assert found
    assert app_for_key(found[1], Scope.PAYMENTS) == app
    assert "no-store" in answer["Cache-Control"]
    assert found[1] not in admin_client.get(keys_url(app)).content.decode()


def test_an_api_key_is_rotated_and_revoked(admin_client: Client, app: ClientApp) -> None:
    key, secret = services.issue_api_key(app=app, scopes=["admin"])

    answer = admin_client.post(keys_url(app, f"api/{key.pk}/rotate/"))
    assert "new-secret" in answer.content.decode()
    assert app_for_key(secret, Scope.ADMIN) == app

    admin_client.post(keys_url(app, f"api/{key.pk}/revoke/"))
    assert app_for_key(secret, Scope.ADMIN) is None


def test_keys_in_use_come_before_revoked_keys(admin_client: Client, app: ClientApp) -> None:
    now = timezone.now()
    for label, revoked_at in [
        ("in use", None),
        ("ends soon", now + timedelta(hours=1)),
        ("revoked", now),
    ]:
        services.issue_api_key(app=app, scopes=["admin"], label=label)
        services.issue_dsn_key(app=app, label=label)
        for keys in (app.api_keys, app.keys):
            keys.filter(label=label).update(revoked_at=revoked_at)
    app.keys.exclude(label__in=["in use", "ends soon", "revoked"]).delete()

    shown = admin_client.get(keys_url(app)).context

    assert shown["api_keys"][0].label == "in use"
    assert [key.label for key in shown["live_keys"]] == ["in use", "ends soon"]
    assert [key.label for key in shown["revoked_keys"]] == ["revoked"]


def test_a_key_without_a_scope_is_rejected_with_a_reason(
    admin_client: Client, app: ClientApp
) -> None:
    answer = admin_client.post(keys_url(app, "api/add/"), follow=True)

    assert "Choose at least one permission" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_of_another_app_is_not_found(admin_client: Client, app: ClientApp) -> None:
    other = services.issue_dsn_key(app=make_app())

    assert admin_client.post(keys_url(app, f"dsn/{other.pk}/revoke/")).status_code == 404


@pytest.mark.parametrize(
    "rest",
    ["dsn/add/", "dsn/{dsn}/rotate/", "dsn/{dsn}/revoke/", "api/add/", "api/{api}/rotate/", "api/{api}/revoke/"],
)  # fmt: skip
def test_users_with_view_permission_cannot_change_keys(app: ClientApp, rest: str) -> None:
    api_key, _ = services.issue_api_key(app=app, scopes=["admin"])
    reader = staff_with("view_clientapp")
    url = keys_url(app, rest.format(dsn=app.keys.get().pk, api=api_key.pk))

    assert reader.get(keys_url(app)).status_code == 200
    assert '<button class="btn btn--small">Rotate' not in reader.get(keys_url(app)).content.decode()
    assert reader.post(url, {"scope": "admin"}).status_code == 403
    assert reader.get(url).status_code == 405
    assert ClientKey.objects.live().count() == 1
    assert ApiKey.objects.live().count() == 1


def test_the_page_requires_permission_to_view_apps(client: Client, app: ClientApp) -> None:
    assert client.get(keys_url(app)).status_code == 302
    assert staff_with().get(keys_url(app)).status_code == 403


def test_names_are_escaped(admin_client: Client) -> None:
    app = make_app("x", name="<script>alert(1)</script>")
    services.issue_dsn_key(app=app, label="<b>bold</b>")

    page = admin_client.get(keys_url(app)).content.decode()

    assert "<script>alert" not in page
    assert "<b>bold" not in page


def test_an_app_cannot_be_deleted(admin_client: Client, app: ClientApp) -> None:
    url = f"/admin/clients/clientapp/{app.pk}/delete/"
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
