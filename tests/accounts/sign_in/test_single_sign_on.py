"""Test which people are allowed to sign in through an identity provider, and which account and roles they get."""

import html
import re
import time
from urllib.parse import urlsplit

import httpx
import oidc_provider_mock
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AuditEvent, IdentityProvider
from core.accounts.services import single_sign_on
from core.accounts.services.roles import Role
from tests.accounts.sign_in.identity_providers import (
    START,
    make_provider,
    roles,
    sign_in_by_provider,
)
from tests.accounts.sign_in.support import PASSWORD, enrolled, is_in
from tests.servers.identity_provider import IdentityProviderDouble

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]


# --- people who may sign in
# ---------------------------------------------------------------------------------------------------


def test_a_new_person_gets_an_account_with_the_default_role(
    client: Client, company: IdentityProvider
) -> None:
    answer = sign_in_by_provider(client, next="/admin/alerts/systemalert/")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/alerts/systemalert/")
    assert is_in(client)
    user = User.objects.get()
    assert (user.username, user.email, user.first_name) == ("anna", "anna@shop.example", "Anna")
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (True, False, False)
    assert roles(user) == {Role.STAFF}
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert actions[0] == "added by single sign-on"
    assert actions[-1] == "signed in"


def test_the_second_sign_in_finds_the_same_person(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    sign_in_by_provider(client)
    client.logout()
    double.person.email = "anna.meier@shop.example"
    double.person.preferred_username = "anna.meier"

    sign_in_by_provider(client)

    assert is_in(client)
    assert User.objects.count() == 1


def test_an_existing_user_is_linked_by_the_verified_address(
    client: Client, company: IdentityProvider, owner: User
) -> None:
    sign_in_by_provider(client)

    assert SocialAccount.objects.get().user == owner
    owner.refresh_from_db()
    # The password still works, unless the policy requires single sign-on.
    assert owner.check_password(PASSWORD)
    assert is_in(client)


def test_an_unverified_address_links_and_creates_no_one(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble, owner: User
) -> None:
    double.person.email_verified = False

    assert sign_in_by_provider(client).status_code == 403
    assert not is_in(client)
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1


def test_only_the_subject_is_stored_with_the_account(
    client: Client, company: IdentityProvider
) -> None:
    sign_in_by_provider(client)
    client.logout()
    sign_in_by_provider(client)

    account = SocialAccount.objects.get()
    assert (account.uid, account.extra_data) == ("subject-1", {})
    assert not SocialToken.objects.exists()


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("anna@shop.example", 302),
        ("anna@SHOP.example", 302),
        ("anna@evil.example", 403),
        ("anna@shop.example.evil.example", 403),
    ],
)
def test_only_people_in_the_allowed_domains_can_sign_in(
    client: Client,
    company: IdentityProvider,
    double: IdentityProviderDouble,
    address: str,
    status: int,
) -> None:
    IdentityProvider.objects.update(email_domains="shop.example, tickets.example")
    double.person.email = address

    assert sign_in_by_provider(client).status_code == status
    assert is_in(client) == (status == 302)


def test_an_unknown_person_is_refused_if_new_accounts_are_not_allowed(
    client: Client, company: IdentityProvider
) -> None:
    IdentityProvider.objects.update(creates_users=False)

    answer = sign_in_by_provider(client)

    assert answer.status_code == 403
    assert "Ask an owner to add you" in answer.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_a_disabled_user_is_refused(
    client: Client, company: IdentityProvider, change: dict[str, bool]
) -> None:
    sign_in_by_provider(client)
    client.logout()
    User.objects.update(**change)

    assert sign_in_by_provider(client).status_code == 403
    assert not is_in(client)


def test_an_address_that_two_users_have_links_neither_of_them(
    client: Client, company: IdentityProvider, owner: User
) -> None:
    User.objects.create_user("other", "ANNA@shop.example", PASSWORD, is_staff=True)

    assert sign_in_by_provider(client).status_code == 403
    assert not SocialAccount.objects.exists()


# --- roles ---------------------------------------------------------------------------------------------------------


def test_roles_follow_the_groups_at_every_sign_in(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    IdentityProvider.objects.update(role_mapping="platform = Owner\nsupport=Read-only")
    double.person.groups = ["platform", "unknown"]
    sign_in_by_provider(client)
    user = User.objects.get()
    assert roles(user) == {Role.OWNER}

    client.logout()
    double.person.groups = ["support"]
    sign_in_by_provider(client)
    assert roles(user) == {Role.READ_ONLY}

    client.logout()
    double.person.groups = []
    sign_in_by_provider(client)
    assert roles(user) == {Role.STAFF}  # Users without a matching group get the default role.

    client.logout()
    IdentityProvider.objects.update(default_role=None)
    assert sign_in_by_provider(client).status_code == 403
    assert not is_in(client)


def test_roles_given_by_an_owner_are_kept_without_a_mapping(
    client: Client, company: IdentityProvider
) -> None:
    sign_in_by_provider(client)
    user = User.objects.get()
    user.groups.set(Group.objects.filter(name=Role.OWNER))
    client.logout()

    sign_in_by_provider(client)

    assert roles(user) == {Role.OWNER}


@pytest.mark.parametrize("replaces", [True, False])
def test_the_provider_may_replace_the_second_factor(
    client: Client, company: IdentityProvider, owner: User, replaces: bool
) -> None:
    enrolled(owner)
    IdentityProvider.objects.update(replaces_second_factor=replaces)

    sign_in_by_provider(client)

    assert is_in(client) == replaces


def test_new_user_names_do_not_collide() -> None:
    User.objects.create_user("Anna")
    User.objects.create_user("anna-2")

    assert single_sign_on.free_username("anna") == "anna-3"
    assert single_sign_on.free_username("a b/c") == "a-b-c"


@pytest.mark.filterwarnings(
    "ignore:get_jwt_config:DeprecationWarning"
)  # The test provider's library causes this warning, not the portal.
def test_an_independent_provider_signs_a_person_in(client: Client, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8", "localhost"]
    person = oidc_provider_mock.User(
        sub="someone", claims={"email": "someone@shop.example", "email_verified": True}
    )
    with oidc_provider_mock.run_server_in_thread(user_claims=[person]) as server:
        make_provider(issuer=f"http://localhost:{server.server_port}")
        page = client.post(START).content.decode()
        found = re.search(r'content="0;url=([^"]+)"', page)
        assert found
        agreed = httpx.post(html.unescape(found[1]), data={"sub": "someone"})
        back = urlsplit(agreed.headers["Location"])
        answer = client.get(f"{back.path}?{back.query}")

    assert answer.status_code == 302, answer.content
    assert is_in(client)
    assert User.objects.get().email == "someone@shop.example"
    assert time.time() < 1_780_000_100
