from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from core.clients import services
from core.clients.models import ClientApp, Scope
from core.lib import ratelimit

Get = Callable[..., Any]


@pytest.fixture
def reader(shop: ClientApp) -> Client:
    """Return a client whose API key may read errors."""
    return client_of(shop, Scope.ERRORS_READ)


@pytest.fixture
def writer(shop: ClientApp) -> Client:
    """Return a client whose API key may change errors."""
    return client_of(shop, Scope.ERRORS_WRITE)


def client_of(app: ClientApp, *scopes: Scope) -> Client:
    ratelimit.memory.clear()
    _, secret = services.issue_api_key(app=app, scopes=list(scopes))
    return Client(headers={"Authorization": f"Bearer {secret}"})
