"""Test which account and which roles a person gets after signing in through a SAML provider."""

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client

from core.accounts.models import AuditEvent, IdentityProvider
from core.accounts.services.roles import Role
from tests.accounts.sign_in.identity_providers import roles
from tests.accounts.sign_in.saml_browser import ask, post
from tests.accounts.sign_in.support import is_in
from tests.servers.saml_provider import (
    EMAIL_ADDRESS,
    SAMLProviderDouble,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]


@pytest.mark.parametrize("signs", ["assertion", "response"])
def test_a_person_signs_in_and_gets_the_roles_of_the_groups(
    signs: str, client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    IdentityProvider.objects.update(role_mapping="platform = Owner")
    saml.attributes |= {"groups": ["platform", "all"], "givenName": ["Anna"]}
    saml.signs = signs

    answer = post(client, ask(client))

    assert (answer.status_code, answer["Location"]) == (302, "/admin/system-health/")
    assert is_in(client)
    user = User.objects.get()
    assert (user.email, user.first_name) == ("anna@shop.example", "Anna")
    assert roles(user) == {Role.OWNER}
    assert not user.has_usable_password()


def test_the_name_id_identifies_the_person_even_if_the_address_changes(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    post(client, ask(client))
    client.logout()
    saml.attributes["email"] = ["anna.meier@shop.example"]

    post(client, ask(client))

    assert is_in(client)
    assert User.objects.count() == 1


@pytest.mark.parametrize("address", ["anna@shop.example", "ANNA@shop.example"])
def test_an_existing_user_is_linked_by_a_company_address(
    address: str,
    client: Client,
    company_saml: IdentityProvider,
    saml: SAMLProviderDouble,
    owner: User,
) -> None:
    saml.attributes["email"] = [address]

    post(client, ask(client))

    assert is_in(client)
    assert User.objects.get() == owner


@pytest.mark.parametrize(
    "name",
    [
        "urn:oid:0.9.2342.19200300.100.1.3",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "email",
        "mail",
    ],
)
def test_the_address_is_read_from_the_usual_attributes(
    name: str, client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    saml.attributes = {name: ["anna@shop.example"]}

    post(client, ask(client))

    assert User.objects.get().email == "anna@shop.example"


@pytest.mark.parametrize(
    ("first_name", "last_name"),
    [
        ("urn:oid:2.5.4.42", "urn:oid:2.5.4.4"),
        (
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
        ),
        ("firstName", "lastName"),
        ("givenName", "sn"),
    ],
)
def test_the_name_is_read_from_the_usual_attributes(
    first_name: str,
    last_name: str,
    client: Client,
    company_saml: IdentityProvider,
    saml: SAMLProviderDouble,
) -> None:
    saml.attributes |= {first_name: ["Anna"], last_name: ["Meier"]}

    post(client, ask(client))

    assert User.objects.get().get_full_name() == "Anna Meier"


def test_the_subject_id_identifies_the_person_even_if_the_name_id_changes(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    saml.attributes["urn:oasis:names:tc:SAML:attribute:subject-id"] = ["anna@shop"]
    post(client, ask(client))
    client.logout()
    saml.name_id = "subject-2"
    saml.attributes["email"] = ["anna.meier@shop.example"]

    post(client, ask(client))

    assert is_in(client)
    assert User.objects.count() == 1


def test_a_name_id_that_is_an_address_needs_no_attributes(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    saml.name_id, saml.name_id_format = "anna@shop.example", EMAIL_ADDRESS
    saml.edit = ("<saml:AttributeStatement>.*</saml:AttributeStatement>", "")

    post(client, ask(client))

    assert User.objects.get().email == "anna@shop.example"


def test_groups_may_be_in_several_attributes_with_the_same_name(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    IdentityProvider.objects.update(role_mapping="platform = Owner")
    saml.attributes["groups"] = ["all"]
    group = "<saml:AttributeValue>platform</saml:AttributeValue>"
    first = f'<saml:AttributeStatement><saml:Attribute Name="groups">{group}</saml:Attribute>'
    saml.edit = ("<saml:AttributeStatement>", first)

    post(client, ask(client))

    assert roles(User.objects.get()) == {Role.OWNER}


def test_a_group_whose_name_only_contains_a_mapped_group_gives_no_role(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    IdentityProvider.objects.update(role_mapping="platform = Owner")
    saml.attributes["groups"] = ["platform-guests"]

    post(client, ask(client))

    assert roles(User.objects.get()) == {Role.STAFF}


def test_the_name_of_a_mapped_group_may_contain_equals_signs(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    IdentityProvider.objects.update(role_mapping="cn=platform,ou=groups = Owner")
    saml.attributes["groups"] = ["cn=platform,ou=groups"]

    post(client, ask(client))

    assert roles(User.objects.get()) == {Role.OWNER}


def test_a_new_person_without_a_role_is_refused(
    client: Client, company_saml: IdentityProvider
) -> None:
    IdentityProvider.objects.update(default_role=None)

    assert post(client, ask(client)).status_code == 403
    assert not User.objects.exists()


def test_the_audit_log_has_the_new_account_and_its_roles(
    client: Client, company_saml: IdentityProvider
) -> None:
    post(client, ask(client))

    made = AuditEvent.objects.filter(username="anna").values_list("action", "detail")
    assert ("added by single sign-on", "Company") in made
    assert ("roles set by single sign-on", "Staff") in made


def test_the_audit_log_has_the_link_of_an_existing_account(
    client: Client, company_saml: IdentityProvider, owner: User
) -> None:
    post(client, ask(client))

    linked = AuditEvent.objects.get(action="linked to an identity provider")
    assert (linked.user, linked.detail) == (owner, "Company")


def test_only_the_subject_is_stored_with_the_account(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    for _ in range(2):  # The account is created at the first sign-in, and updated at the second.
        post(client, ask(client))
        client.logout()

    account = SocialAccount.objects.get()
    assert (account.uid, account.extra_data) == ("subject-1", {})


def test_no_address_counts_as_verified_without_domains(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble, owner: User
) -> None:
    IdentityProvider.objects.update(email_domains="")

    assert post(client, ask(client)).status_code == 403
    assert not is_in(client)
    assert User.objects.get() == owner


def test_a_user_who_is_not_staff_is_refused_and_not_linked(
    client: Client, company_saml: IdentityProvider
) -> None:
    User.objects.create_user("anna", "anna@shop.example")

    assert post(client, ask(client)).status_code == 403
    assert not is_in(client)
    assert not SocialAccount.objects.exists()


def test_an_address_of_another_domain_links_no_one(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    User.objects.create_superuser("boss", "boss@bank.example", "x")
    saml.attributes["email"] = ["boss@bank.example"]

    assert post(client, ask(client)).status_code == 403
    assert not is_in(client)
