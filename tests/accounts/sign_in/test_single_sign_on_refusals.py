"""Test which provider responses and which browser requests the portal refuses during a sign-in."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AuditEvent, IdentityProvider
from core.accounts.services.single_sign_on_failures import MAX_RECORDED_PER_MINUTE
from tests.accounts.sign_in.identity_providers import START, come_back, sign_in_by_provider, start
from tests.accounts.sign_in.support import LOGIN, is_in
from tests.servers.identity_provider import IdentityProviderDouble, new_key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_providers")]

HEALTH = "/admin/system-health/"


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


def test_a_callback_is_accepted_only_once(client: Client, company: IdentityProvider) -> None:
    state = start(client)["state"]
    assert come_back(client, state).status_code == 302
    client.logout()

    assert come_back(client, state).status_code == 401
    assert not is_in(client)


def test_a_callback_from_another_browser_is_refused(
    client: Client, company: IdentityProvider
) -> None:
    state = start(client)["state"]
    other = Client()

    assert refused(other, come_back(other, state))


def test_a_canceled_sign_in_is_reported_as_canceled(
    client: Client, company: IdentityProvider
) -> None:
    state = start(client)["state"]
    answer = client.get(f"{START}callback/", {"state": state, "error": "access_denied"})

    assert answer.status_code == 401
    assert "The sign-in was cancelled." in answer.content.decode()


def test_an_unavailable_provider_leads_to_a_page_that_explains_it(
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


def test_a_disabled_or_unknown_provider_gets_a_404(
    client: Client, company: IdentityProvider
) -> None:
    IdentityProvider.objects.update(is_enabled=False)

    assert client.post(START).status_code == 404
    assert client.get(f"{START}callback/").status_code == 404
    assert "Continue with" not in client.get(LOGIN).content.decode()


def test_a_private_address_is_not_contacted_unless_allowed(
    client: Client,
    company: IdentityProvider,
    settings: Settings,
    double: IdentityProviderDouble,
) -> None:
    settings.ALLOW_PRIVATE_URLS = []

    assert client.post(START).status_code == 502
    assert not double.http.requests


def test_a_stranger_cannot_fill_the_audit_log_with_failures(
    client: Client, company: IdentityProvider
) -> None:
    answers = [come_back(client, "forged") for _ in range(MAX_RECORDED_PER_MINUTE + 5)]
    elsewhere = client.get(f"{START}callback/?state=forged&code=c", REMOTE_ADDR="198.51.100.7")

    assert {answer.status_code for answer in [*answers, elsewhere]} == {401}
    # The failure from the second address is recorded although the first address has reached its maximum.
    assert AuditEvent.objects.count() == MAX_RECORDED_PER_MINUTE + 1
