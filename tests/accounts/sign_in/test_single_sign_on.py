"""Sign-in through an identity provider: who gets in, as whom, with which roles, and which answers are refused."""

import html
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AccessPolicy, AuditEvent, IdentityProvider
from core.accounts.services import single_sign_on
from core.accounts.services.roles import Role, ensure_roles
from tests.accounts.sign_in.support import LOGIN, PASSWORD, enrolled, is_in, sign_in
from tests.servers.identity_provider import CLIENT_ID, IdentityProviderDouble, new_key

pytestmark = pytest.mark.django_db

START = "/admin/sso/company/"
HEALTH = "/admin/system-health/"


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    settings.BASE_URL = "http://testserver"
    ensure_roles()


@pytest.fixture
def double() -> Iterator[IdentityProviderDouble]:
    provider = IdentityProviderDouble()
    yield provider
    provider.close()


@pytest.fixture
def company(double: IdentityProviderDouble) -> IdentityProvider:
    return make_provider(issuer=double.issuer)


def make_provider(**fields: Any) -> IdentityProvider:
    staff = Group.objects.get(name=Role.STAFF)
    plain = {"name": "Company", "slug": "company", "client_id": CLIENT_ID, "client_secret": "s"}
    return IdentityProvider.objects.create(**{**plain, "default_role": staff, **fields})


def start(client: Client, **data: str) -> dict[str, str]:
    """Press the button, and return the parameters with which the browser goes to the provider."""
    page = client.post(START, data).content.decode()
    found = re.search(r'content="0;url=([^"]+)"', page)
    assert found, page
    return {
        name: values[0]
        for name, values in parse_qs(urlsplit(html.unescape(found[1])).query).items()
    }


def come_back(client: Client, state: str, **query: str) -> Any:
    return client.get(f"{START}callback/", {"state": state, "code": "c", **query})


def sign_in_by_provider(client: Client, **data: str) -> Any:
    return come_back(client, start(client, **data)["state"])


def roles(user: User) -> set[str]:
    return set(user.groups.values_list("name", flat=True))


# --- who gets in ---------------------------------------------------------------------------------------------------


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
    assert owner.check_password(
        PASSWORD
    )  # the password still works, unless the policy requires single sign-on
    assert is_in(client)


def test_an_unverified_address_links_and_creates_no_one(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble, owner: User
) -> None:
    double.person.email_verified = False

    assert sign_in_by_provider(client).status_code == 403
    assert not is_in(client)
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1


def test_nothing_but_the_subject_is_stored_with_the_account(
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
def test_only_people_of_the_domains_get_in(
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


def test_without_new_people_a_stranger_is_refused(
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


def test_two_users_with_the_address_are_not_confused(
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
    assert roles(user) == {Role.STAFF}  # the default role

    client.logout()
    IdentityProvider.objects.update(default_role=None)
    assert sign_in_by_provider(client).status_code == 403
    assert not is_in(client)


def test_without_a_mapping_roles_given_by_an_owner_stay(
    client: Client, company: IdentityProvider
) -> None:
    sign_in_by_provider(client)
    user = User.objects.get()
    user.groups.set(Group.objects.filter(name=Role.OWNER))
    client.logout()

    sign_in_by_provider(client)

    assert roles(user) == {Role.OWNER}


# --- answers that are refused --------------------------------------------------------------------------------------


def refused(client: Client, answer: Any, status: int = 401) -> bool:
    return answer.status_code == status and not is_in(client) and not User.objects.exists()


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1_780_000_000 - 60},
        {"sub": "subject-2"},
        {"sub": None},
    ],
    ids=["audience", "issuer", "expired", "other subject", "no subject"],
)
def test_a_token_with_a_wrong_claim_is_refused(
    client: Client,
    company: IdentityProvider,
    double: IdentityProviderDouble,
    claims: dict[str, Any],
) -> None:
    double.token_claims = claims

    assert refused(client, sign_in_by_provider(client))
    assert AuditEvent.objects.get().action == "single sign-on failed"


def test_a_forged_token_is_refused(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    double.signing_key = new_key()

    assert refused(client, sign_in_by_provider(client))


def test_an_unsigned_token_is_refused(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    double.algorithm = "none"

    assert refused(client, sign_in_by_provider(client))


def test_an_answer_without_a_token_is_refused(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    double.has_id_token = False

    assert refused(client, sign_in_by_provider(client))


def test_a_callback_is_accepted_once(client: Client, company: IdentityProvider) -> None:
    state = start(client)["state"]
    assert come_back(client, state).status_code == 302
    client.logout()

    assert come_back(client, state).status_code == 401
    assert not is_in(client)


def test_a_callback_of_another_browser_is_refused(
    client: Client, company: IdentityProvider
) -> None:
    state = start(client)["state"]
    other = Client()

    assert refused(other, come_back(other, state))


def test_a_cancelled_sign_in_says_so(client: Client, company: IdentityProvider) -> None:
    state = start(client)["state"]
    answer = client.get(f"{START}callback/", {"state": state, "error": "access_denied"})

    assert answer.status_code == 401
    assert "The sign-in was cancelled." in answer.content.decode()


def test_a_provider_that_is_down_is_a_page_and_not_an_error(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    state = start(client)["state"]
    double.http.refuse()

    assert refused(client, come_back(client, state), 502)


def test_the_code_is_bound_to_this_browser(
    client: Client, company: IdentityProvider, double: IdentityProviderDouble
) -> None:
    sent = start(client)
    assert sent["code_challenge_method"] == "S256"
    assert sent["redirect_uri"] == "http://testserver/admin/sso/company/callback/"

    come_back(client, sent["state"])

    [asked] = [one for one in double.http.requests if one.path == "/token"]
    assert asked.form()["code_verifier"]


def test_no_other_site_can_start_a_sign_in_or_choose_where_it_ends(
    company: IdentityProvider,
) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.get(START).status_code == 405
    assert client.post(START).status_code == 403

    client = Client()
    answer = sign_in_by_provider(client, next="https://evil.example/")
    assert answer["Location"] == HEALTH


def test_a_disabled_or_unknown_provider_is_not_found(
    client: Client, company: IdentityProvider
) -> None:
    IdentityProvider.objects.update(is_enabled=False)

    assert client.post(START).status_code == 404
    assert client.get(f"{START}callback/").status_code == 404
    assert "Continue with" not in client.get(LOGIN).content.decode()


def test_a_private_address_is_not_asked_unless_allowed(
    client: Client,
    company: IdentityProvider,
    settings: Settings,
    double: IdentityProviderDouble,
) -> None:
    settings.ALLOW_PRIVATE_URLS = []

    assert client.post(START).status_code == 502
    assert not double.http.requests


# --- the second factor and passwords -------------------------------------------------------------------------------


@pytest.mark.parametrize("replaces", [True, False])
def test_the_provider_may_replace_the_second_factor(
    client: Client, company: IdentityProvider, owner: User, replaces: bool
) -> None:
    enrolled(owner)
    IdentityProvider.objects.update(replaces_second_factor=replaces)

    sign_in_by_provider(client)

    assert is_in(client) == replaces


def require(owner: User) -> None:
    policy = AccessPolicy.objects.create(pk=1, require_single_sign_on=True)
    policy.password_users.set([owner])


def test_required_single_sign_on_refuses_passwords_but_of_the_chosen_owner(
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


# --- settings ------------------------------------------------------------------------------------------------------


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
def test_a_wrong_provider_is_explained(
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


def test_names_do_not_collide() -> None:
    User.objects.create_user("Anna")
    User.objects.create_user("anna-2")

    assert single_sign_on.free_username("anna") == "anna-3"
    assert single_sign_on.free_username("a b/c") == "a-b-c"


@pytest.mark.filterwarnings(
    "ignore:get_jwt_config:DeprecationWarning"
)  # of the provider's own library
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
