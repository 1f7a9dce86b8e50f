"""Test the settings of single sign-on in the admin, in the environment, and in the access policy."""

import html
import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AccessPolicy, AuditEvent, IdentityProvider
from core.accounts.services.roles import Role
from tests.accounts.sign_in.identity_providers import make_provider, roles
from tests.accounts.sign_in.support import LOGIN, PASSWORD, is_in, sign_in
from tests.servers.identity_provider import CLIENT_ID, IdentityProviderDouble

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]


def require(owner: User) -> None:
    policy = AccessPolicy.objects.create(pk=1, require_single_sign_on=True)
    policy.password_users.set([owner])


def test_required_single_sign_on_refuses_all_passwords_but_the_chosen_owners(
    client: Client, company: IdentityProvider, owner: User
) -> None:
    User.objects.create_superuser("bob", "bob@shop.example", PASSWORD)
    require(owner)

    sign_in(client, name="bob")
    assert not is_in(client)
    assert AuditEvent.objects.filter(action__contains="single sign-on is required").count() == 1

    sign_in(client, name="anna")
    assert is_in(client)


def test_the_policy_needs_a_provider_and_an_owner_with_a_password(
    client: Client, owner: User
) -> None:
    client.force_login(owner)
    page = "/admin/access/accesspolicy/add/"

    text = client.post(page, {"require_single_sign_on": "on"}).content.decode()
    assert "Add and enable an identity provider first." in text
    assert "Choose at least one owner with a password" in text

    make_provider(kind=IdentityProvider.Kind.GITHUB)
    data = {"require_single_sign_on": "on", "password_users": [owner.pk]}
    assert client.post(page, data).status_code == 302
    assert AccessPolicy.current().require_single_sign_on


def test_the_environment_configures_a_provider(
    client: Client, double: IdentityProviderDouble, settings: Settings
) -> None:
    settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_NAME = (
        double.issuer,
        CLIENT_ID,
        "Acme",
    )
    settings.SSO_ROLES = {"platform": "Owner"}
    double.person.groups = ["platform"]
    assert "Continue with Acme" in client.get(LOGIN).content.decode()

    page = client.post("/admin/sso/environment/").content.decode()
    found = re.search(r"state=(\w+)", html.unescape(page))
    assert found
    client.get("/admin/sso/environment/callback/", {"state": found[1], "code": "c"})

    assert is_in(client)
    assert roles(User.objects.get()) == {Role.OWNER}


def test_a_provider_is_added_in_the_admin_and_its_secret_is_encrypted(
    client: Client, owner: User, double: IdentityProviderDouble
) -> None:
    client.force_login(owner)
    staff = Group.objects.get(name=Role.STAFF)
    data = {
        "name": "Company", "slug": "company", "kind": "openid_connect", "is_enabled": "on",
        "issuer": f"{double.issuer}/.well-known/openid-configuration",
        "client_id": CLIENT_ID, "client_secret": "shared-secret-1",
        "creates_users": "on", "groups_claim": "groups", "role_mapping": "platform = Owner", "default_role": staff.pk,
        "replaces_second_factor": "on",
    }  # fmt: skip
    page = "/admin/access/identityprovider/"

    assert client.post(f"{page}add/", data).status_code == 302
    stored = IdentityProvider.objects.get()
    assert (stored.issuer, stored.client_secret) == (double.issuer, "shared-secret-1")
    shown = client.get(f"{page}{stored.pk}/change/").content.decode()
    assert "http://testserver/admin/sso/company/callback/" in shown
    assert "shared-secret-1" not in shown

    assert (
        client.post(f"{page}{stored.pk}/change/", {**data, "client_secret": ""}).status_code == 302
    )
    stored.refresh_from_db()
    assert stored.client_secret == "shared-secret-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issuer": ""}, "needs its issuer URL"),
        ({"issuer": "http://127.0.0.1:9/"}, "could not be read"),
        ({"issuer": "http://10.0.0.1/"}, "not a public address"),
        ({"role_mapping": "platform"}, "Write each line as group = role"),
        ({"role_mapping": "platform = Boss"}, "There is no role"),
        ({"slug": "github"}, "This name is reserved"),
    ],
)
def test_an_invalid_provider_is_refused_with_an_explanation(
    client: Client, owner: User, change: dict[str, str], message: str, settings: Settings
) -> None:
    settings.DENIED_PORTS = []
    client.force_login(owner)
    data = {
        "name": "C",
        "slug": "c",
        "kind": "openid_connect",
        "is_enabled": "on",
        "issuer": "http://127.0.0.1:9/",
        "client_id": "x",
    }

    answer = client.post("/admin/access/identityprovider/add/", {**data, **change})

    assert answer.status_code == 200
    assert message in html.unescape(answer.content.decode())
    assert not IdentityProvider.objects.exists()
