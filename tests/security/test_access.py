"""Test that every URL, including any new one, is refused without permission."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django.fixtures import Settings

from core.accounts.services.roles import Role, ensure_roles
from tests.security.paths import all_paths, api_paths, page_paths
from tests.two_runs import in_the_sqlite_run


def batched(names: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


pytestmark = pytest.mark.django_db

TABLE = Path(__file__).with_name("access_by_role.txt")
# Public pages, which users need to sign in.
OPEN_PAGES = (
    "/admin/login/",
    "/admin/password_reset/",
    "/admin/reset/",
    "/admin/logout/",
    "/admin/jsi18n/",
)
# The API description is public. Stripe signs its requests. Ingestion and heartbeats have a key in the URL or body.
OPEN_API = ("/api/v1/openapi.json", "/api/v1/webhooks/", "/api/v1/heartbeats/", "/api/987654/")


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_the_url_lists_are_not_empty() -> None:
    assert len(page_paths()) > 100
    assert len(api_paths()) > 10


@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "post"])
def test_anonymous_users_see_no_page(client: Client, method: str) -> None:
    seen = {}
    for path in page_paths():
        if path.startswith(OPEN_PAGES):
            continue
        response = getattr(client, method)(path)
        leads_to_sign_in = response.status_code == 302 and "/admin/login/" in response["Location"]
        if not leads_to_sign_in and response.status_code not in (301, 401, 403, 404, 405):
            seen[path] = response.status_code
    assert seen == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "post"])
def test_users_who_are_not_staff_see_no_page(client: Client, method: str) -> None:
    client.force_login(User.objects.create_user("visitor"))
    seen = {}
    for path in page_paths():
        if path.startswith(OPEN_PAGES):
            continue
        response = getattr(client, method)(path)
        if response.status_code == 200 or response.status_code >= 500:
            seen[path] = response.status_code
    assert seen == {}


@pytest.mark.slow
def test_staff_without_permissions_cannot_change_anything(client: Client) -> None:
    client.force_login(User.objects.create_user("new", is_staff=True))
    seen = {}
    for path in page_paths():
        if path == "/admin/" or path.startswith(
            (*OPEN_PAGES, "/admin/two-factor/", "/admin/password_change/", "/admin/tokens/")
        ):
            continue
        response = client.post(path)
        if response.status_code in (200, 201, 204) or response.status_code >= 500:
            seen[path] = response.status_code
    assert seen == {}


@in_the_sqlite_run
@pytest.mark.slow
def test_each_role_can_open_only_the_urls_in_the_table() -> None:
    """Compare the pages that each role may read and post to with access_by_role.txt, line by line.

    After adding a URL, run `UPDATE_ACCESS_TABLE=1 pytest …`, and read the new lines before you commit them.
    """
    found = "".join(f"{line}\n" for line in _access_by_role())
    if os.environ.get("UPDATE_ACCESS_TABLE"):
        TABLE.write_text(found)
    assert found == TABLE.read_text()


def _access_by_role() -> list[str]:
    """Return a line for each page: the roles that may read it, the roles that may post to it, and its path."""
    ensure_roles()
    clients = {}
    for role in Role:
        user = User.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        clients[role.value[0]] = Client(raise_request_exception=False)
        clients[role.value[0]].force_login(user)
    lines = []
    for path in page_paths():
        if path.startswith(OPEN_PAGES):
            continue
        allowed = [
            "".join(
                letter if _is_allowed(getattr(client, method)(path)) else "-"
                for letter, client in clients.items()
            )
            for method in ("get", "post")
        ]
        lines.append(f"{allowed[0]} {allowed[1]} {path}")
    return lines


def _is_allowed(response: Any) -> bool:
    """Return False if the role or the method was refused. Allowed requests may still fail, because no object exists."""
    assert response.status_code != 500, response.request["PATH_INFO"]
    leads_to_sign_in = response.status_code == 302 and "/admin/login/" in response["Location"]
    return response.status_code not in (401, 403, 405) and not leads_to_sign_in


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
@pytest.mark.parametrize("key", ["", "Bearer ops_invented", "Bearer " + "0" * 32, "Basic eDp5"])
def test_requests_without_a_valid_key_are_refused(client: Client, method: str, key: str) -> None:
    headers = {"Authorization": key} if key else {}
    wrong = {}
    for path in api_paths():
        if path.startswith(OPEN_API):
            continue
        response = getattr(client, method)(path, headers=headers)
        if response.status_code not in (401, 403, 404, 405):
            wrong[path] = response.status_code
        elif response.status_code != 404:
            assert "json" in response["Content-Type"], path
    assert wrong == {}


@pytest.mark.slow
def test_staff_forms_without_a_csrf_token_are_refused(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(admin_user)
    accepted = {}
    for path in page_paths():
        response = client.post(path, {"action": "delete_selected", "_selected_action": "1"})
        if response.status_code != 403:
            accepted[path] = response.status_code
    # A SAML provider's page has no CSRF token. The portal checks the signature of the response instead.
    assert accepted == {"/admin/sso/nothing/acs/": 404}


@pytest.mark.slow
def test_every_response_has_the_security_headers(client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    missing = []
    for path in all_paths():
        response = client.get(path)
        csp = response.get("Content-Security-Policy", "")
        if "default-src 'none'" not in csp or "unsafe" in csp:
            missing.append(f"{path}: {csp}")
        if response.get("X-Content-Type-Options") != "nosniff":
            missing.append(f"{path}: X-Content-Type-Options")
        if response.get("X-Frame-Options") != "DENY":
            missing.append(f"{path}: X-Frame-Options")
        if not response.get("X-Request-ID"):
            missing.append(f"{path}: X-Request-ID")
    assert missing == []


@pytest.mark.slow
def test_no_page_fails_on_arbitrary_parameters(client: Client, admin_user: User) -> None:
    """Test that no search, filter, page number or order with an arbitrary value causes a 500."""
    client.force_login(admin_user)
    values = [
        "' OR 1=1 --",
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
    failed = {}
    for path in page_paths():
        if path.endswith(("/login/", "/logout/", "/change/", "/delete/", "/history/")):
            continue
        # Skip pages without an object, and views that do not accept GET.
        if client.get(path).status_code in (404, 405):
            continue
        for value in values:
            response = client.get(path, dict.fromkeys(names, value))
            if response.status_code >= 500:
                failed[path] = value
                break
        # Also try small groups of parameters, because a refused parameter hides the effects of all others.
        for few in batched(names, 8):
            response = client.get(path, dict.fromkeys(few, values[0]))
            if response.status_code >= 500:
                failed[f"{path}?{few}"] = values[0]
    assert failed == {}


@pytest.mark.slow
def test_every_url_refuses_an_unknown_host(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["ops.example.com"]
    answered = {}
    for path in all_paths():
        response = client.get(path, headers={"Host": "evil.example"})
        if response.status_code != 400:
            answered[path] = response.status_code
    assert answered == {}
