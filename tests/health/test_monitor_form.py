"""Test the form of a monitor in the admin."""

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django.fixtures import Settings

from health.models import Monitor
from health.models.components import validate_tags
from tests.factories import make_monitor
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_documentation_addresses(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["198.51.100.0/24"]


NO_STEPS = {"steps-TOTAL_FORMS": "0", "steps-INITIAL_FORMS": "0"}
ADD = "/admin/health/monitor/add/?type=http"


@pytest.mark.parametrize("empty", ["", "{}", "null"])
def test_an_emptied_headers_field_is_saved_as_no_headers(
    admin_client: Client, fake: FakeHTTP, settings: Settings, empty: str
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    form = admin_client.get(ADD).context["adminform"].form
    given = {
        name: field.initial for name, field in form.fields.items() if field.initial is not None
    }

    saved = admin_client.post(
        ADD, {**given, **NO_STEPS, "title": "Shop", "url": f"{fake.url}/", "headers": empty}
    )

    assert saved.status_code == 302, saved.context["adminform"].form.errors
    assert Monitor.objects.get().headers == {}


def test_an_address_that_probes_refuse_is_refused(
    admin_client: Client, settings: Settings, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = []

    page = admin_client.post(ADD, {"title": "Shop", "url": f"{fake.url}/"})

    assert "not a public address" in str(page.context["adminform"].form.errors["url"])


COMMON = {
    "title": "One", "position": "0", "interval_minutes": "1", "timeout_seconds": "5", "fail_after": "2",
    "recover_after": "2", "is_enabled": "on",
}  # fmt: skip
OWN = {
    "http": {"url": "198.51.100.7", "method": "GET", "expected_status": "200", **NO_STEPS},
    "tcp": {"url": "198.51.100.7:9100"},
    "ping": {"url": "198.51.100.7"},
    "dns": {"url": "example.com", "record_type": "MX", "value_match": "exactly"},
    "postgresql": {"url": "198.51.100.7/shop", "username": "monitor", "password": "secret"},
    "redis": {"url": "198.51.100.7", "password": "secret"},
    "smtp": {"url": "198.51.100.7:587", "requires_tls": "on", "username": "a", "password": "s"},
}


@pytest.mark.parametrize("kind", OWN)
def test_each_type_has_a_form_that_adds_the_scheme(admin_client: Client, kind: str) -> None:
    add = f"/admin/health/monitor/add/?type={kind}"
    assert "placeholder" in admin_client.get(add).content.decode()

    saved = admin_client.post(
        add, {**COMMON, **OWN[kind], "tags": "Shop,eu , shop", "group": "Web"}
    )

    assert saved.status_code == 302, saved.context["errors"]
    monitor = Monitor.objects.get()
    assert (monitor.type, monitor.tags, monitor.group) == (kind, "eu, shop", "Web")
    page = admin_client.get(f"/admin/health/monitor/{monitor.pk}/change/").content.decode()
    assert "secret" not in page


def test_the_type_is_chosen_first(admin_client: Client) -> None:
    page = admin_client.get("/admin/health/monitor/add/").content.decode()
    assert all(f'href="?type={kind}"' in page for kind in OWN)


def test_an_address_of_another_type_is_refused(admin_client: Client) -> None:
    page = admin_client.post(
        "/admin/health/monitor/add/?type=ping", {**COMMON, "url": "redis://198.51.100.7"}
    )
    assert "This form is for the type Ping." in page.content.decode()


def test_an_empty_password_keeps_the_stored_one_only_for_the_same_server(
    admin_client: Client,
) -> None:
    monitor = make_monitor("redis://198.51.100.7", password="secret")
    change = f"/admin/health/monitor/{monitor.pk}/change/"

    saved = admin_client.post(change, {**COMMON, "url": "redis://198.51.100.7/1", "password": ""})
    assert saved.status_code == 302, saved.context["errors"]
    assert Monitor.objects.get().password == "secret"

    for path in (change, f"/admin/health/monitor/check/?type=redis&id={monitor.pk}"):
        page = admin_client.post(path, {**COMMON, "url": "redis://198.51.100.8", "password": ""})
        assert "Enter the password again" in page.content.decode()


def test_the_list_is_filtered_by_type_tag_and_group_and_shows_groups(admin_client: Client) -> None:
    make_monitor(
        "ping://198.51.100.1", title="Gate", tags="eu, gate", group="Venue", status="unhealthy"
    )
    make_monitor(
        "https://198.51.100.2/", title="Shop", tags="eu-west", group="Venue", status="healthy"
    )
    make_monitor("rediss://198.51.100.3", title="Cache", tags="gate", status="healthy")

    def shown(query: str) -> set[str]:
        rows = admin_client.get(f"/admin/health/monitor/?{query}").context["cl"].result_list
        return {row.title for row in rows}

    assert shown("tag=eu") == {"Gate"}
    assert shown("tag=gate") == {"Gate", "Cache"}
    assert shown("type=redis") == {"Cache"}
    assert shown("group=Venue") == {"Gate", "Shop"}
    assert shown("q=eu-west") == {"Shop"}
    page = admin_client.get("/admin/health/monitor/").content.decode()
    assert "1 of 2 failing" in page


@pytest.mark.parametrize("tag", ["a b", "x" * 41, "<b>"])
def test_a_tag_with_other_characters_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="is not a tag"):
        validate_tags(f"ok, {tag}")


def check_now(client: Client, **fields: object) -> str:
    form = {
        "title": "Shop", "position": 0, "interval_minutes": 1, "timeout_seconds": 5, "fail_after": 2,
        "recover_after": 2, "method": "GET", "headers": "{}", "expected_status": "200-299", **fields,
    }  # fmt: skip
    response = client.post("/admin/health/monitor/check/", form)
    assert response.status_code == 200
    return response.content.decode()


def test_the_form_of_a_monitor_shows_the_result_of_a_check(
    admin_client: Client, settings: Settings, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    page = admin_client.get(ADD).content.decode()
    assert "Check now" in page

    assert "Operational" in check_now(admin_client, url=fake.url)
    assert "Down" in check_now(admin_client, url=fake.url, expected_status="404")
    assert "Address: " in check_now(admin_client, url="")
    assert Monitor.objects.count() == 0


def test_readers_cannot_let_the_portal_call_addresses(
    client: Client, settings: Settings, fake: FakeHTTP
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_monitor"))
    client.force_login(reader)

    response = client.post("/admin/health/monitor/check/", {"url": fake.url})

    assert response.status_code == 403
    assert fake.requests == []
