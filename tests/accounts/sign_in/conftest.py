"""Provide a fixed clock, an owner with a password, and identity providers."""

from collections.abc import Iterator

import pytest
import time_machine
from django.contrib.auth.models import User
from pytest_django import Settings

from core.accounts.models import IdentityProvider
from core.accounts.services.roles import ensure_roles
from tests.accounts.sign_in.identity_providers import make_provider
from tests.accounts.sign_in.support import PASSWORD
from tests.servers.identity_provider import IdentityProviderDouble
from tests.servers.saml_provider import SAMLProviderDouble


@pytest.fixture(autouse=True)
def fixed_clock() -> Iterator[time_machine.Traveller]:
    """Freeze the time, because TOTP codes and rate limits depend on it."""
    with time_machine.travel(1_780_000_000, tick=False) as clock:
        yield clock


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("anna", "anna@shop.example", PASSWORD)


@pytest.fixture
def loopback_providers(settings: Settings) -> None:
    """Allow identity providers on loopback, and create the roles that tests map groups to."""
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    settings.BASE_URL = "http://testserver"
    ensure_roles()


@pytest.fixture
def double() -> Iterator[IdentityProviderDouble]:
    provider = IdentityProviderDouble()
    yield provider
    provider.close()


@pytest.fixture
def company(loopback_providers: None, double: IdentityProviderDouble) -> IdentityProvider:
    return make_provider(issuer=double.issuer)


@pytest.fixture
def saml() -> Iterator[SAMLProviderDouble]:
    provider = SAMLProviderDouble()
    yield provider
    provider.close()


@pytest.fixture
def company_saml(loopback_providers: None, saml: SAMLProviderDouble) -> IdentityProvider:
    return make_provider(
        kind=IdentityProvider.Kind.SAML,
        client_id="",
        client_secret="",
        issuer=saml.entity_id,
        metadata=saml.metadata(),
        email_domains="shop.example",
    )
