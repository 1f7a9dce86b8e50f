"""Test which requests a personal token permits, when it expires, and who can see it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from alerts.models import Person, Team
from core.accounts.models import AuditEvent
from core.clients import services
from core.clients.key_use import key_uses
from core.clients.models import PERSONAL_SCOPES, ApiKey, ClientApp, PersonalToken, Scope
from errors.models import ErrorGroup, GroupNote, Status
from tests.errors.stored import record_group
from tests.factories import make_app, make_monitor

pytestmark = pytest.mark.django_db


def make_user(name: str = "ada", *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def make_token(user: User, *scopes: str, days: int = 30) -> str:
    now = timezone.now()
    expires_at = now + timedelta(days=days)
    given = scopes or [scope.value for scope in PERSONAL_SCOPES]
    _, secret = services.issue_personal_token(
        user=user, scopes=given, label="night job", expires_at=expires_at, now=now
    )
    return secret


def call(secret: str, path: str, method: str = "get", body: Any = None, **headers: str) -> Any:
    client = Client(raise_request_exception=False)
    return getattr(client, method)(
        path,
        body if method == "get" else (body or {}),
        headers={"Authorization": f"Bearer {secret}", **headers},
        **({} if method == "get" else {"content_type": "application/json"}),
    )


@pytest.fixture
def shop() -> ClientApp:
    return make_app("shop")


GROUPS = "/api/v1/error-groups/"


# URL, method, body, the scope that the token needs, and the permission that the token's owner needs.
CASES: list[tuple[str, str, Any, Scope, str]] = [
    (GROUPS, "get", None, Scope.ERRORS_READ, "view_errorgroup"),
    ("/api/v1/error-counts/", "get", None, Scope.ERRORS_READ, "view_errorgroup"),
    ("/api/v1/releases/", "get", None, Scope.ERRORS_READ, "view_release"),
    (f"{GROUPS}act/", "post", {"action": "resolve", "groups": [1]}, Scope.ERRORS_WRITE, "change_errorgroup"),
    ("/api/v1/error-users/delete/", "post", {"user": "u"}, Scope.ERRORS_WRITE, "delete_errorgroup"),
    ("/api/v1/on-call/", "get", None, Scope.ON_CALL, "view_schedule"),
    ("/api/v1/checks/run/", "post", None, Scope.ADMIN, "change_systemalert"),
    ("/api/v1/impact/group/1/", "get", None, Scope.ADMIN, "view_order"),
    ("/api/v1/config/monitors/", "get", None, Scope.CONFIG_READ, "view_monitor"),
    ("/api/v1/config/channels/", "get", None, Scope.CONFIG_READ, "view_channel"),
    ("/api/v1/config/teams/", "post", {"name": "New"}, Scope.CONFIG_WRITE, "add_team"),
    ("/api/v1/config/teams/1/", "patch", {"name": "New"}, Scope.CONFIG_WRITE, "change_team"),
    ("/api/v1/config/teams/1/", "delete", None, Scope.CONFIG_WRITE, "delete_team"),
    ("/api/v1/config/silences/", "get", None, Scope.INCIDENTS_READ, "view_silence"),
    ("/api/v1/config/incidents/1/", "delete", None, Scope.INCIDENTS_WRITE, "delete_incident"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "body", "scope", "permission"), CASES)
def test_a_call_requires_the_scope_and_the_permission(
    shop: ClientApp, path: str, method: str, body: Any, scope: Scope, permission: str
) -> None:
    may, may_not = make_user("may", permission), make_user("may-not")
    others = [one.value for one in PERSONAL_SCOPES if one != scope]

    answers = {
        "both": call(make_token(may, scope), path, method, body),
        "without the scope": call(make_token(may, *others), path, method, body),
        "without the permission": call(make_token(may_not, scope), path, method, body),
    }

    assert {name: one.status_code == 403 for name, one in answers.items()} == {
        "both": False,
        "without the scope": True,
        "without the permission": True,
    }
    assert answers["both"].status_code in (200, 201, 404)
    assert "permission" in answers["without the permission"].json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/payments/", "/api/v1/reservations/", "/api/v1/deploys/", "/api/v1/signals/"]
)
def test_urls_for_apps_refuse_personal_tokens(shop: ClientApp, path: str) -> None:
    answer = call(make_token(User.objects.create_superuser("root")), path, "post")

    assert answer.status_code == 403
    assert "keys of apps" in answer.json()["detail"]


@pytest.mark.parametrize(
    "end",
    [
        lambda token: PersonalToken.objects.update(revoked_at=timezone.now()),
        lambda token: PersonalToken.objects.update(expires_at=timezone.now()),
        lambda token: User.objects.update(is_active=False),
        lambda token: User.objects.update(is_staff=False),
        lambda token: User.objects.all().delete(),
        lambda token: call_command("resetlogin", "ada"),
    ],
    ids=["revoked", "expired", "inactive", "not staff", "deleted", "sign-in reset"],
)
def test_a_token_that_has_ended_is_refused(shop: ClientApp, end: Any) -> None:
    secret = make_token(make_user("ada", "view_errorgroup"))
    assert call(secret, GROUPS).status_code == 200

    end(secret)

    assert call(secret, GROUPS).status_code == 403


def test_a_token_loses_a_permission_with_its_owner(shop: ClientApp) -> None:
    user = make_user("ada", "view_errorgroup")
    secret = make_token(user)

    user.user_permissions.clear()

    assert call(secret, GROUPS).status_code == 403


def test_a_person_names_the_app_unless_there_is_only_one(shop: ClientApp) -> None:
    secret = make_token(make_user("ada", "view_errorgroup"))
    assert call(secret, GROUPS).status_code == 200

    bank = make_app("bank")
    group = record_group(bank)

    assert call(secret, GROUPS).status_code == 400
    assert call(secret, f"{GROUPS}?app=bank").json()["groups"][0]["id"] == group.pk
    assert call(secret, GROUPS, **{"X-Opsportal-App": "bank"}).json()["groups"][0]["id"] == group.pk
    assert call(secret, f"{GROUPS}?app=nothing").status_code == 403


def test_a_token_reaches_the_apps_that_its_person_sees(shop: ClientApp) -> None:
    bank = make_app("bank")
    hidden = record_group(bank, title="Bank error")
    make_monitor("https://shop.example/", app=shop, title="Shop")
    make_monitor("https://bank.example/", app=bank, title="Bank")
    user = make_user("ada", "view_errorgroup", "change_errorgroup", "view_monitor")
    team = Team.objects.create(name="Shop")
    team.people.add(Person.objects.create(name="Ada", user=user))
    team.apps.add(shop)
    secret = make_token(user)

    monitors = call(secret, "/api/v1/config/monitors/").json()["monitors"]

    assert [one["title"] for one in monitors] == ["Shop"]
    assert call(secret, GROUPS).json()["groups"] == []
    assert call(secret, f"{GROUPS}?app=bank").status_code == 403
    assert call(secret, f"{GROUPS}{hidden.pk}/").status_code == 404
    assert call(secret, f"{GROUPS}{hidden.pk}/?app=bank").status_code == 403
    found = call(secret, "/api/v1/search/?q=Bank").json()["groups"]
    assert "Bank" not in str(found)


def test_a_change_is_recorded_with_the_person_and_the_token(shop: ClientApp) -> None:
    user = make_user("ada", "change_errorgroup", "change_systemalert")
    group = record_group(shop)
    secret = make_token(user)

    call(secret, f"{GROUPS}act/", "post", {"action": "resolve", "groups": [group.pk]})
    call(secret, "/api/v1/checks/run/", "post")

    resolved, ran = AuditEvent.objects.order_by("pk")
    assert (resolved.user, resolved.action) == (user, "errors.errorgroup resolve")
    assert resolved.detail == f"with the personal token {secret[:10]}…"
    assert (ran.user, ran.action, ran.status) == (user, "alerts:check-run", 200)
    assert ErrorGroup.objects.get().status == Status.RESOLVED
    assert GroupNote.objects.get().by == user


def test_deleting_errors_requires_the_permission_to_delete(shop: ClientApp) -> None:
    group = record_group(shop)
    body = {"action": "delete", "groups": [group.pk]}

    answer = call(make_token(make_user("ada", "change_errorgroup")), f"{GROUPS}act/", "post", body)

    assert answer.status_code == 403
    assert ErrorGroup.objects.exists()


def test_the_time_of_use_is_recorded(shop: ClientApp) -> None:
    call(make_token(make_user("ada", "view_errorgroup")), GROUPS)

    key_uses.flush()

    assert PersonalToken.objects.get().last_used_at is not None


# --- the page ---------------------------------------------------------------------------------------

PAGE = "/admin/tokens/"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_the_secret_is_shown_once_and_stored_as_a_hash() -> None:
    client = browser(make_user())

    page = client.post(f"{PAGE}add/", {"scope": "errors:read", "label": "laptop", "days": "30"})

    token = PersonalToken.objects.get()
    secret = page.content.decode().split('id="new-secret">')[1].split("<")[0]
    assert secret.startswith("opp_")
    assert secret not in str(vars(token))
    assert secret not in client.get(PAGE).content.decode()
    assert token.expires_at - token.created_at == timedelta(days=30)
    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


@pytest.mark.parametrize(
    "form",
    [
        {"label": "x", "days": "30"},
        {"scope": "payments", "label": "x", "days": "30"},  # Only keys of apps may have this scope.
        {"scope": ["errors:read", "everything"], "label": "x", "days": "30"},
        {"scope": "errors:read", "label": "", "days": "30"},
        {"scope": "errors:read", "label": "x", "days": ""},  # A token always expires.
        {"scope": "errors:read", "label": "x", "days": "9999"},
    ],
)
def test_an_incomplete_form_creates_no_token(form: dict[str, str]) -> None:
    browser(make_user()).post(f"{PAGE}add/", form)

    assert not PersonalToken.objects.exists()


def test_people_can_see_and_revoke_only_their_own_tokens() -> None:
    ada, bob = make_user("ada"), make_user("bob")
    make_token(ada)
    token = PersonalToken.objects.get()

    assert "night job" in browser(ada).get(PAGE).content.decode()
    assert "night job" not in browser(bob).get(PAGE).content.decode()
    assert browser(bob).post(f"{PAGE}{token.pk}/revoke/").status_code == 404
    assert PersonalToken.objects.live().exists()

    browser(ada).post(f"{PAGE}{token.pk}/revoke/")

    assert not PersonalToken.objects.live().exists()
    assert AuditEvent.objects.filter(user=ada, action="clients:token-revoke").exists()


def test_owners_can_see_all_tokens_without_secrets_and_revoke_them(admin_client: Client) -> None:
    secret = make_token(make_user("ada"))
    token = PersonalToken.objects.get()
    page = "/admin/clients/personaltoken/"

    assert token.prefix in admin_client.get(page).content.decode()
    shown = admin_client.get(f"{page}{token.pk}/change/").content.decode()
    assert token.key_hash not in shown
    assert secret not in shown
    admin_client.post(page, {"action": "revoke", "_selected_action": token.pk})

    assert not PersonalToken.objects.live().exists()


def test_a_limited_person_cannot_issue_a_key_that_reaches_every_app(shop: ClientApp) -> None:
    user = make_user("ada", "add_apikey", "change_apikey", "view_clientapp")
    team = Team.objects.create(name="Shop")
    team.people.add(Person.objects.create(name="Ada", user=user))
    team.apps.add(shop)
    wide, _ = ApiKey.issue(app=shop, scopes=["admin"])
    client, keys = browser(user), f"/admin/apps/{shop.pk}/keys/api/"

    client.post(f"{keys}add/", {"scope": ["payments", "admin"]})
    client.post(f"{keys}{wide.pk}/rotate/")
    assert ApiKey.objects.count() == 1

    client.post(f"{keys}add/", {"scope": "payments"})
    assert ApiKey.objects.count() == 2


def test_a_token_is_valid_until_its_last_second() -> None:
    now = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    token = PersonalToken(expires_at=now)

    assert token.state(now - timedelta(seconds=1)) == "live"
    assert token.state(now) == "expired"
