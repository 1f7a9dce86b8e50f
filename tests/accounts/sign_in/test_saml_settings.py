"""Test the settings of SAML providers in the admin and in the environment."""

import html
import os
import re
import subprocess
import sys

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AuditEvent, IdentityProvider
from core.accounts.services.roles import Role
from tests.accounts.sign_in.identity_providers import roles
from tests.accounts.sign_in.saml_browser import ask, post
from tests.accounts.sign_in.support import LOGIN, is_in
from tests.servers.saml_provider import SAMLProviderDouble, new_signer, response_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]
FORM = {
    "name": "Company", "slug": "company", "kind": "saml", "is_enabled": "on", "email_domains": "shop.example",
    "groups_claim": "groups", "role_mapping": "platform = Owner", "creates_users": "on",
}  # fmt: skip
WRONG_ADDRESSES = {
    "no web address": "javascript:alert(1)",
    "no host": "https:///sso",
    "invalid host": "https://[::1/sso",
    "invalid port": "https://company.example:x/sso",
    "space in the address": "https://company.example/s so",
}
ADD = "/admin/access/identityprovider/add/"


@pytest.mark.parametrize("is_fetched", [False, True])
def test_a_provider_is_added_by_its_metadata_or_a_metadata_url(
    is_fetched: bool, client: Client, owner: User, saml: SAMLProviderDouble
) -> None:
    client.force_login(owner)
    given = saml.entity_id if is_fetched else saml.metadata()

    assert client.post(ADD, {**FORM, "metadata": given}).status_code == 302

    stored = IdentityProvider.objects.get()
    assert (stored.issuer, stored.metadata) == (saml.entity_id, saml.metadata())
    shown = client.get(f"/admin/access/identityprovider/{stored.pk}/change/").content.decode()
    assert "http://testserver/admin/sso/company/acs/" in shown
    assert "entity ID: http://testserver/admin/sso/company/metadata/" in shown
    client.logout()
    saml.attributes["groups"] = ["platform"]
    post(client, ask(client))
    assert is_in(client)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": ""}, "Paste the metadata of the provider"),
        ({"metadata": "<a/>"}, "HTTP-Redirect and a certificate for signing."),
        ({"metadata": "<a"}, "is not valid XML"),
        ({"metadata": "<!DOCTYPE a><a/>"}, "a document type"),
        ({"metadata": "http://10.0.0.1/metadata"}, "not a public address"),
        ({"metadata": "no certificate"}, "lacks a certificate for signing"),
        ({"metadata": "empty certificate"}, "A certificate in the metadata is empty"),
        ({"metadata": "no web address"}, "is not a web address"),
        ({"metadata": "no host"}, "is not a web address"),
        ({"metadata": "invalid host"}, "is not a web address"),
        ({"metadata": "invalid port"}, "is not a web address"),
        ({"metadata": "space in the address"}, "is not a web address"),
        ({"metadata": "too long"}, "The metadata is too long"),
        ({"metadata": "sign-in by POST"}, "lacks a SingleSignOnService with HTTP-Redirect"),
        ({"email_domains": ""}, "Enter the e-mail domains of your company"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_invalid_metadata_is_refused_with_an_explanation(
    change: dict[str, str], message: str, client: Client, owner: User, saml: SAMLProviderDouble
) -> None:
    broken = {
        "no certificate": re.sub("<md:KeyDescriptor.*</md:KeyDescriptor>", "", saml.metadata()),
        "empty certificate": re.sub("(<ds:X509Certificate>)[^<]+", r"\1", saml.metadata()),
        **{
            name: saml.metadata().replace(f"{saml.http.url}/sso", address)
            for name, address in WRONG_ADDRESSES.items()
        },
        "too long": saml.metadata().replace("<md:Single", f"<!--{'x' * 600_000}--><md:Single"),
        "sign-in by POST": saml.metadata().replace("HTTP-Redirect", "HTTP-POST"),
    }
    data = {**FORM, "metadata": saml.metadata(), **change}
    data["metadata"] = broken.get(data["metadata"], data["metadata"])
    client.force_login(owner)

    answer = client.post(ADD, data)

    assert message in html.unescape(answer.content.decode())
    assert not IdentityProvider.objects.exists()


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_a_url_without_metadata_is_refused_with_an_explanation(
    status: int, client: Client, owner: User, saml: SAMLProviderDouble
) -> None:
    elsewhere = {"Location": f"{saml.http.url}/metadata"}
    saml.http.answer(status, body="" if status == 204 else saml.metadata(), headers=elsewhere)
    client.force_login(owner)

    answer = client.post(ADD, {**FORM, "metadata": f"{saml.http.url}/moved"})

    assert "/moved could not be read" in html.unescape(answer.content.decode())
    assert str(status) in answer.content.decode()
    assert not IdentityProvider.objects.exists()
    assert [one.path for one in saml.http.requests] == ["/moved"]


def test_an_entity_id_chosen_by_an_owner_identifies_the_portal(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    IdentityProvider.objects.update(client_id="urn:shop:portal")
    described = client.get("/admin/sso/company/metadata/").content.decode()
    assert 'entityID="urn:shop:portal"' in described

    saml.audience = "http://testserver/admin/sso/company/metadata/"
    assert post(client, ask(client)).status_code == 401
    saml.audience = None
    post(client, ask(client))

    assert is_in(client)


def test_both_certificates_are_accepted_during_a_rotation(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    following = new_signer()
    both = re.search("<md:KeyDescriptor.*</md:KeyDescriptor>", saml.metadata(following))
    assert both
    metadata = saml.metadata().replace("<md:SingleSign", f"{both[0]}<md:SingleSign")
    IdentityProvider.objects.update(metadata=metadata)

    for signer in (saml.signer, following):
        saml.signer = signer
        post(client, ask(client))
        assert is_in(client)
        client.logout()


def test_the_environment_configures_a_provider(
    client: Client, saml: SAMLProviderDouble, settings: Settings
) -> None:
    settings.SSO_SAML_METADATA, settings.SSO_NAME = saml.metadata(), "Acme"
    settings.SSO_EMAIL_DOMAINS, settings.SSO_ROLES = ["shop.example"], {"platform": "Owner"}
    saml.attributes["groups"] = ["platform"]
    assert "Continue with Acme" in client.get(LOGIN).content.decode()

    page = client.post("/admin/sso/environment/").content.decode()
    found = re.search(r'content="0;url=([^"]+)"', page)
    assert found
    response = response_in(httpx.get(html.unescape(found[1])).text)
    sent = client.post("/admin/sso/environment/acs/", {"SAMLResponse": response})
    client.get(sent["Location"])

    assert roles(User.objects.get()) == {Role.OWNER}


@pytest.mark.parametrize("metadata", ["<md:EntityDescriptor", "/run/secrets/metadata.xml"])
def test_invalid_metadata_in_the_environment_leads_to_a_page_that_explains_it(
    metadata: str, client: Client, settings: Settings
) -> None:
    settings.SSO_SAML_METADATA, settings.SSO_EMAIL_DOMAINS = metadata, ["shop.example"]

    started = client.post("/admin/sso/environment/")
    client.post("/admin/sso/environment/acs/", {"SAMLResponse": "x"})
    finished = client.get("/admin/sso/environment/acs/finish/")

    assert (started.status_code, finished.status_code) == (502, 401)
    assert "metadata is not valid" in html.unescape(started.content.decode())
    reasons = AuditEvent.objects.filter(action="single sign-on failed")
    assert ["is not valid XML" in one.detail for one in reasons] == [True, True]


def test_saml_libraries_are_loaded_only_when_they_are_used() -> None:
    program = (
        "import django, sys; django.setup(); import opsportal.urls; print('xmlsec' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "opsportal.settings"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == "False", done.stderr
