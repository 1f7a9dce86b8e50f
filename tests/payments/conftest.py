from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from core.lib.outbound import breaker
from payments.services.webhooks import rejected
from tests.payments.staff_pages import signed_in
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[StripeDouble]:
    double = StripeDouble()
    yield double
    double.close()


@pytest.fixture
def stripe(stripe_server: StripeDouble, settings: Settings) -> StripeDouble:
    """Return an empty Stripe double, and configure the portal to use it."""
    stripe_server.reset()
    settings.STRIPE_API_BASE = stripe_server.base
    settings.STRIPE_SECRET_KEY = "sk_test_double"
    settings.STRIPE_WEBHOOK_SECRETS = [stripe_server.secret]
    return stripe_server


@pytest.fixture(scope="session")
def account_server() -> Iterator[StripeDouble]:
    double = StripeDouble(account=StripeAccount())
    yield double
    double.close()


@pytest.fixture
def double(account_server: StripeDouble, settings: Settings) -> StripeDouble:
    """Return a Stripe double with an empty StripeAccount, and configure the portal to use the double."""
    account_server.reset()
    settings.STRIPE_API_BASE = account_server.base
    settings.STRIPE_SECRET_KEY = "sk_test_double"
    settings.STRIPE_WEBHOOK_SECRETS = [account_server.secret]
    return account_server


@pytest.fixture
def account(double: StripeDouble) -> StripeAccount:
    """Return the empty account of the Stripe double."""
    assert double.account is not None
    return double.account


@pytest.fixture
def staff() -> Client:
    return signed_in()


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """Close all circuit breakers of the test process, and reset its count of rejected calls."""
    breaker.reset_all()
    rejected.reset()
