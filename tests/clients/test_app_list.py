"""Test that the list of registered apps shows when each app last called the portal."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.clients import services
from core.clients.key_use import key_uses
from core.clients.models import ApiKey, ClientApp, ClientKey, Scope
from tests.factories import make_app

pytestmark = pytest.mark.django_db
APPS = "/admin/clients/clientapp/"


@pytest.fixture
def app() -> ClientApp:
    return make_app("shop")


def last_call(app: ClientApp) -> object:
    found: Any = ClientApp.objects.with_last_call().get(pk=app.pk)
    return found.last_call_at


def test_the_last_call_is_the_newest_call_with_any_key(app: ClientApp) -> None:
    now = timezone.now()
    services.issue_dsn_key(app=app)
    services.issue_dsn_key(app=app)
    services.issue_api_key(app=app, scopes=[Scope.METRICS])
    assert last_call(app) is None

    ClientKey.objects.filter(app=app).update(last_used_at=now - timedelta(hours=1))
    assert last_call(app) == now - timedelta(hours=1)

    ApiKey.objects.filter(app=app).update(last_used_at=now - timedelta(minutes=1))
    assert last_call(app) == now - timedelta(minutes=1)

    ClientKey.objects.filter(app=app).update(last_used_at=None)
    assert last_call(app) == now - timedelta(minutes=1)


def test_a_call_with_an_api_key_is_shown_in_the_list(
    client: Client, admin_client: Client, app: ClientApp
) -> None:
    _, secret = services.issue_api_key(app=app, scopes=[Scope.METRICS])
    assert "never" in admin_client.get(APPS).content.decode()

    sent = client.post(
        "/api/v1/signals/",
        {"signals": [{"type": "activity", "user": "u-1"}]},
        "application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    key_uses.flush()

    assert sent.status_code in (200, 202), sent.content
    page = admin_client.get(APPS).content.decode()
    assert "Last call" in page
    assert "just now" in page
