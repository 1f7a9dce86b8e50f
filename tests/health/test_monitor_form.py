"""The form of a monitor in the admin."""

import pytest
from django.contrib.auth.models import Permission, User
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


def check_now(client: Client, **fields: object) -> str:
    form = {
        "title": "Shop", "interval_minutes": 1, "timeout_seconds": 5, "fail_after": 2, "recover_after": 2,
        "method": "GET", "headers": "{}", "expected_status": "200-299", **fields,
    }  # fmt: skip
    response = client.post("/admin/health/monitor/check/", form)
    assert response.status_code == 200
    return response.content.decode()


def test_the_form_of_a_monitor_shows_what_a_check_finds(
    admin_client: Client, settings: Settings, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    page = admin_client.get("/admin/health/monitor/add/").content.decode()
    assert "Check now" in page

    assert "Operational" in check_now(admin_client, url=fake.url)
    assert "Down" in check_now(admin_client, url=fake.url, expected_status="404")
    assert "Address: " in check_now(admin_client, url="")
    assert Monitor.objects.count() == 0


def test_readers_cannot_call_addresses(client: Client, settings: Settings, fake: FakeHTTP) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_monitor"))
    client.force_login(reader)

    response = client.post("/admin/health/monitor/check/", {"url": fake.url})

    assert response.status_code == 403
    assert fake.requests == []
