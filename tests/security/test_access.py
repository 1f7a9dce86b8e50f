"""Every address, tried by those who have no business there. A new address is tried without anybody adding it here."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from tests.security.addresses import api, every_address, pages


def batched(names: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


pytestmark = pytest.mark.django_db

# Where people sign in, and what their browser needs for it.
OPEN_PAGES = (
    "/admin/login/",
    "/admin/password_reset/",
    "/admin/reset/",
    "/admin/logout/",
    "/admin/jsi18n/",
)
# Anybody may see what anybody may buy; a DSN's or a heartbeat's own key stands in the address or body; Stripe signs.
OPEN_API = ("/api/v1/openapi.json", "/api/v1/webhooks/", "/api/v1/heartbeats/", "/api/987654/")


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_there_are_addresses_to_try() -> None:
    assert len(pages()) > 100
    assert len(api()) > 10


@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "post"])
def test_strangers_see_no_page(client: Client, method: str) -> None:
    seen = {}
    for path in pages():
        if path.startswith(OPEN_PAGES):
            continue
        response = getattr(client, method)(path)
        leads_to_sign_in = response.status_code == 302 and "/admin/login/" in response["Location"]
        if not leads_to_sign_in and response.status_code not in (301, 401, 403, 404, 405):
            seen[path] = response.status_code
    assert seen == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "post"])
def test_people_who_are_not_staff_see_no_page(client: Client, method: str) -> None:
    client.force_login(User.objects.create_user("visitor"))
    seen = {}
    for path in pages():
        if path.startswith(OPEN_PAGES):
            continue
        response = getattr(client, method)(path)
        if response.status_code == 200 or response.status_code >= 500:
            seen[path] = response.status_code
    assert seen == {}


@pytest.mark.slow
def test_staff_without_any_permission_change_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("new", is_staff=True))
    seen = {}
    for path in pages():
        if path == "/admin/" or path.startswith(
            (*OPEN_PAGES, "/admin/two-factor/", "/admin/password_change/")
        ):
            continue
        response = client.post(path)
        if response.status_code in (200, 201, 204) or response.status_code >= 500:
            seen[path] = response.status_code
    assert seen == {}


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
@pytest.mark.parametrize("key", ["", "Bearer ops_invented", "Bearer " + "0" * 32, "Basic eDp5"])
def test_programs_without_a_right_key_are_refused(client: Client, method: str, key: str) -> None:
    headers = {"Authorization": key} if key else {}
    wrong = {}
    for path in api():
        if path.startswith(OPEN_API):
            continue
        response = getattr(client, method)(path, headers=headers)
        if response.status_code not in (401, 403, 404, 405):
            wrong[path] = response.status_code
        elif response.status_code != 404:
            assert "json" in response["Content-Type"], path
    assert wrong == {}


@pytest.mark.slow
def test_no_form_of_staff_is_taken_without_its_token(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(admin_user)
    taken = {}
    for path in pages():
        response = client.post(path, {"action": "delete_selected", "_selected_action": "1"})
        if response.status_code != 403:
            taken[path] = response.status_code
    assert taken == {}


@pytest.mark.slow
def test_every_answer_carries_the_security_headers(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    missing = []
    for path in every_address():
        response = client.get(path)
        csp = response.get("Content-Security-Policy", "")
        if "default-src 'none'" not in csp or "unsafe" in csp:
            missing.append(f"{path}: {csp}")
        if response.get("X-Content-Type-Options") != "nosniff":
            missing.append(f"{path}: sniffable")
        if response.get("X-Frame-Options") != "DENY":
            missing.append(f"{path}: can be framed")
        if not response.get("X-Request-ID"):
            missing.append(f"{path}: no id")
    assert missing == []


@pytest.mark.slow
def test_no_page_breaks_whatever_is_asked_of_it(client: Client, admin_user: User) -> None:
    """Search, filters, pages and order by anybody's imagination: a refusal or an empty list, never a 500."""
    client.force_login(admin_user)
    imagination = [
        "' OR 1=1 --",
        "'; DROP TABLE auth_user; --",
        '") UNION SELECT password FROM auth_user --',
        "\x00",
        "%s %(x)s {0} \\",
        "9" * 40,
        "1e999",
        "2026-13-45",
        "x" * 5_000,
    ]
    names = (
        "q", "search", "o", "p", "page", "range", "sort", "order", "before", "after", "cursor", "since", "until",
        "from", "to", "severity", "status", "state", "app", "app__id__exact", "environment", "release", "user",
        "request_id", "request", "order_id", "id__exact", "id__in", "tag", "function", "category", "type", "level",
        "month", "day", "at__gte", "starts_at", "next", "wall", "all", "text",
    )  # fmt: skip
    broken = {}
    for path in pages():
        if path.endswith(("/login/", "/logout/", "/change/", "/delete/", "/history/")):
            continue
        for text in imagination:
            response = client.get(path, dict.fromkeys(names, text))
            if response.status_code >= 500:
                broken[path] = text
                break
        # A few at a time too: one that is refused early hides what the others would do.
        for few in batched(names, 8):
            response = client.get(path, dict.fromkeys(few, imagination[0]))
            if response.status_code >= 500:
                broken[f"{path}?{few}"] = imagination[0]
    assert broken == {}


@pytest.mark.slow
def test_a_wrong_host_is_refused_everywhere(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["ops.example.com"]
    answered = {}
    for path in every_address():
        response = client.get(path, headers={"Host": "evil.example"})
        if response.status_code != 400:
            answered[path] = response.status_code
    assert answered == {}
