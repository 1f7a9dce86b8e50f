from collections.abc import Iterator

import pytest
from pytest_django import Settings

from opsportal.lib.outbound import breaker
from payments.services.webhooks import rejected
from tests.payments.stripe_double import StripeDouble


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[StripeDouble]:
    double = StripeDouble()
    yield double
    double.close()


@pytest.fixture
def stripe(stripe_server: StripeDouble, settings: Settings) -> StripeDouble:
    """A Stripe without intents, faults or memories, which the portal is configured for."""
    stripe_server.reset()
    settings.STRIPE_API_BASE = stripe_server.base
    settings.STRIPE_SECRET_KEY = "sk_test_double"
    settings.STRIPE_WEBHOOK_SECRETS = [stripe_server.secret]
    return stripe_server


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """Breakers closed, nothing counted: as in a process just started."""
    breaker.forget_all()
    rejected.reset()
