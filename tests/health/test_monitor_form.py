"""The form of a monitor in the admin."""

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from health.models import Monitor
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
ADD = "/admin/health/monitor/add/"


@pytest.mark.parametrize("empty", ["", "{}", "null"])
def test_emptied_headers_are_no_headers(
    admin_client: Client, fake: FakeHTTP, settings: Settings, empty: str
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    form = admin_client.get(ADD).context["adminform"].form
    given = {name: field.initial for name, field in form.fields.items() if field.initial}

    saved = admin_client.post(
        ADD, {**given, "title": "Shop", "url": f"{fake.url}/", "headers": empty}
    )

    assert saved.status_code == 302, saved.context["adminform"].form.errors
    assert Monitor.objects.get().headers == {}


def test_an_address_that_probes_refuse_is_refused(
    admin_client: Client, settings: Settings, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = []

    page = admin_client.post(ADD, {"title": "Shop", "url": f"{fake.url}/"})

    assert "not a public address" in str(page.context["adminform"].form.errors["url"])
