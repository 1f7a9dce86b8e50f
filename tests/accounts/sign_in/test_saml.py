"""Test that the portal refuses forged, repeated and malformed SAML responses, and assertions for other sign-ins."""

import base64
import re
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
import xmlsec
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from lxml import etree

from core.accounts.models import IdentityProvider
from tests.accounts.sign_in.identity_providers import START
from tests.accounts.sign_in.saml_browser import ACS, ask, location_of, post, reason
from tests.accounts.sign_in.support import is_in
from tests.servers.saml_provider import (
    TRANSIENT,
    SAMLProviderDouble,
    answering,
    new_signer,
    with_other_person,
    wrapped,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]


SECOND_CONFIRMATION = (
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
    ' InResponseTo="_another" NotOnOrAfter="2099-01-01T00:00:00Z"/></saml:SubjectConfirmation>'
)
ENCRYPTED = (
    b'<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
    b' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:EncryptedAssertion/></samlp:Response>'
)


def is_refused(client: Client, answer: Any) -> bool:
    return answer.status_code == 401 and not is_in(client) and not User.objects.exists()


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"audience": "https://other.example/metadata/"}, "not a valid audience"),
        ({"audience": ""}, "audience"),
        ({"issuer": "https://evil.example"}, "issuer"),
        ({"recipient": "https://other.example/acs/"}, "SubjectConfirmation"),
        ({"recipient": "http://testserver/admin/sso/other/acs/"}, "SubjectConfirmation"),
        ({"destination": "https://other.example/acs/"}, "instead of"),
        ({"destination": "http://testserver/admin/sso/other/acs/"}, "instead of"),
        ({"expires_in": timedelta(minutes=-10)}, "expired"),
        ({"begins_in": timedelta(minutes=10)}, "not yet valid"),
        ({"in_response_to": "_another"}, "SubjectConfirmation"),
        ({"in_response_to": ""}, "is not a response to a request"),
        ({"signs": ""}, "No Signature"),
        ({"algorithm": xmlsec.Transform.RSA_SHA1}, "Deprecated"),
        ({"name_id_format": TRANSIENT}, "transient"),
        ({"edit": (r' NotOnOrAfter="[^"]+" Recipient', " Recipient")}, "no expiry time"),
        (
            {"edit": ("</saml:Subject>", f"{SECOND_CONFIRMATION}</saml:Subject>")},
            "is not a response",
        ),
        ({"edit": (":status:Success", ":status:Responder")}, "not Success"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_assertion_for_another_sign_in_is_refused(
    lie: dict[str, Any],
    why: str,
    client: Client,
    company_saml: IdentityProvider,
    saml: SAMLProviderDouble,
) -> None:
    for name, value in lie.items():
        setattr(saml, name, value)

    assert is_refused(client, post(client, ask(client)))
    assert why in reason()


def test_an_assertion_signed_with_another_key_is_refused(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    saml.signer = new_signer()

    assert is_refused(client, post(client, ask(client)))
    assert "Signature validation failed" in reason()


@pytest.mark.parametrize("forge", [with_other_person, wrapped])
@pytest.mark.parametrize("signs", ["assertion", "response"])
def test_a_changed_or_wrapped_assertion_is_refused(
    signs: str,
    forge: Callable[[str, str], str],
    client: Client,
    company_saml: IdentityProvider,
    saml: SAMLProviderDouble,
) -> None:
    saml.signs = signs

    assert is_refused(client, post(client, forge(ask(client), "the-owner")))


def test_an_assertion_is_refused_after_its_expiry(
    client: Client, company_saml: IdentityProvider, fixed_clock: time_machine.Traveller
) -> None:
    response = ask(client)
    fixed_clock.shift(timedelta(minutes=9))

    assert is_refused(client, post(client, response))


def test_a_response_is_accepted_only_once(client: Client, company_saml: IdentityProvider) -> None:
    response = ask(client)
    assert post(client, response).status_code == 302
    client.logout()

    assert post(client, response).status_code == 401
    assert not is_in(client)


def test_a_response_to_another_browser_is_refused(
    client: Client, company_saml: IdentityProvider
) -> None:
    response = ask(client)
    other = Client()

    assert is_refused(other, post(other, response))
    assert "this browser did not ask" in reason()


def test_a_stolen_assertion_in_a_response_to_another_request_is_refused(
    client: Client, company_saml: IdentityProvider
) -> None:
    stolen = ask(client)
    thief = Client()
    request = parse_qs(urlsplit(location_of(thief)).query)["SAMLRequest"][0]
    asked = etree.fromstring(zlib.decompress(base64.b64decode(request), -15))

    assert is_refused(thief, post(thief, answering(stolen, str(asked.get("ID")))))


@pytest.mark.parametrize(
    "response",
    [
        "",
        "%%%",
        "bm90IHhtbA==",
        base64.b64encode(b"<a/>").decode(),
        base64.b64encode(ENCRYPTED).decode(),
        "x" * 300_000,
    ],
    ids=["empty", "no base64", "no XML", "no response", "encrypted", "too long"],
)
def test_a_malformed_response_is_refused(
    response: str, client: Client, company_saml: IdentityProvider
) -> None:
    assert is_refused(client, post(client, response))


def test_a_response_with_a_document_type_is_refused(
    client: Client, company_saml: IdentityProvider
) -> None:
    document = base64.b64decode(ask(client)).decode()
    bomb = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>' + document
    bomb = re.sub(r"(<saml:NameID[^>]*>)[^<]*", r"\1&b;", bomb)

    assert is_refused(client, post(client, base64.b64encode(bomb.encode()).decode()))


def test_a_kept_response_is_deleted_and_expires_soon(
    client: Client, company_saml: IdentityProvider
) -> None:
    client.post(ACS, {"SAMLResponse": "bm90IHhtbA=="})
    kept = client.cookies["saml-response"]
    assert kept["path"] == f"{ACS}finish/"
    [session] = Session.objects.filter(session_key=kept.value)
    assert (session.expire_date.timestamp() - 1_780_000_000) <= 60

    client.get(f"{ACS}finish/")

    assert not Session.objects.filter(session_key=kept.value).exists()


def test_a_response_that_is_too_long_is_not_kept(
    client: Client, company_saml: IdentityProvider
) -> None:
    client.post(ACS, {"SAMLResponse": "x" * 300_000})

    assert not Session.objects.exists()
    assert "saml-response" not in client.cookies


def test_each_response_is_kept_under_a_new_key(
    client: Client, company_saml: IdentityProvider
) -> None:
    keys = []
    for _ in range(2):
        client.post(ACS, {"SAMLResponse": "bm90IHhtbA=="})
        keys.append(client.cookies["saml-response"].value)

    assert keys[0] != keys[1]
    assert list(Session.objects.values_list("session_key", flat=True)) == keys[1:]


def test_sign_in_pages_are_not_cached_and_accept_one_method(
    client: Client, company_saml: IdentityProvider
) -> None:
    kept = client.post(ACS, {"SAMLResponse": "bm90IHhtbA=="})
    finished = client.get(f"{ACS}finish/")

    assert "no-store" in kept["Cache-Control"]
    assert "no-store" in finished["Cache-Control"]
    assert client.get(ACS).status_code == 405
    assert client.post(f"{ACS}finish/").status_code == 405


def test_the_page_about_a_failed_sign_in_does_not_show_the_reason(
    client: Client, company_saml: IdentityProvider, saml: SAMLProviderDouble
) -> None:
    saml.issuer = "https://evil.example"

    page = post(client, ask(client)).content.decode()

    assert "Company did not confirm who you are. Try again." in page
    assert "evil.example" in reason()
    assert "evil.example" not in page


def test_a_provider_that_was_disabled_during_the_sign_in_is_refused(
    client: Client, company_saml: IdentityProvider
) -> None:
    response = ask(client)
    IdentityProvider.objects.update(is_enabled=False)

    assert client.post(START).status_code == 404
    assert client.post(ACS, {"SAMLResponse": response}).status_code == 404
    assert client.get(f"{ACS}finish/").status_code == 404
    assert client.get(f"{START}metadata/").status_code == 404


def test_an_assertion_for_one_provider_is_refused_by_another(
    client: Client, company_saml: IdentityProvider
) -> None:
    response = ask(client)
    company_saml.pk, company_saml.slug = None, "other"
    company_saml.save()

    client.post("/admin/sso/other/acs/", {"SAMLResponse": response})

    assert is_refused(client, client.get("/admin/sso/other/acs/finish/"))


def test_a_sign_in_redirects_to_the_chosen_page_of_the_portal(
    client: Client, company_saml: IdentityProvider
) -> None:
    assert post(client, ask(client, next="/admin/errors/"))["Location"] == "/admin/errors/"


def test_a_sign_in_never_redirects_to_another_site(
    client: Client, company_saml: IdentityProvider
) -> None:
    assert post(client, ask(client, next="https://evil.example/"))["Location"] == (
        "/admin/system-health/"
    )


def test_the_portal_describes_itself_to_the_provider(
    client: Client, company_saml: IdentityProvider
) -> None:
    answer = client.get(f"{START}metadata/")

    assert answer["Content-Type"] == "application/samlmetadata+xml"
    assert 'entityID="http://testserver/admin/sso/company/metadata/"' in answer.content.decode()
    assert 'Location="http://testserver/admin/sso/company/acs/"' in answer.content.decode()


def test_the_saml_urls_of_an_openid_connect_provider_are_not_found(
    client: Client, company_saml: IdentityProvider
) -> None:
    IdentityProvider.objects.update(kind=IdentityProvider.Kind.OPENID_CONNECT)

    assert client.get(f"{START}metadata/").status_code == 404
    assert client.post(ACS, {"SAMLResponse": "x"}).status_code == 404
    assert client.get(f"{ACS}finish/").status_code == 404
