"""Test that rejected and failed requests get a page with a link back, or a problem document."""

import logging

import pytest
from django.test import Client

pytestmark = [pytest.mark.urls("tests.platform.urls"), pytest.mark.django_db]


@pytest.fixture
def browser_client() -> Client:
    return Client(
        raise_request_exception=False,
        enforce_csrf_checks=True,
        headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
    )


PAGES = [
    ("/nowhere", 404, "Page not found"),
    ("/breaks/bug", 500, "Something went wrong"),
    ("/breaks/database", 503, "Temporarily unavailable"),
    ("/breaks/suspicious", 400, "The request is malformed or incomplete"),
    ("/breaks/denied", 403, "Access denied"),
    ("/breaks/unreadable", 422, "the body is not JSON"),
    ("/only-post", 405, "Method not allowed"),
]


@pytest.mark.parametrize(("path", "status", "text"), PAGES)
def test_users_get_a_page_with_the_reference_and_a_link_back(
    browser_client: Client, path: str, status: int, text: str
) -> None:
    response = browser_client.get(
        path, headers={"X-Request-ID": "req-12345678", "Referer": "http://testserver/admin/x/"}
    )
    page = response.content.decode()

    assert response.status_code == status
    assert text in page
    assert "req-12345678" in page
    assert 'href="/admin/"' in page
    assert 'href="http://testserver/admin/x/"' in page
    assert response["X-Request-ID"] == "req-12345678"
    assert response["Cache-Control"] == "no-store"
    assert "script-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/nowhere", "/nowhere"])
@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 500, 503])
def test_programs_get_a_problem_document(browser_client: Client, path: str, status: int) -> None:
    breaking = {
        400: "breaks/suspicious",
        403: "breaks/denied",
        404: "nowhere",
        405: "only-post",
        422: "breaks/unreadable",
        500: "breaks/bug",
        503: "breaks/database",
    }[status]
    path = path.replace("nowhere", breaking)
    accept = "application/json" if not path.startswith("/api") else "*/*"

    response = browser_client.get(path, headers={"Accept": accept})

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["request_id"] == response["X-Request-ID"]
    assert problem["detail"]


def test_a_405_lists_the_allowed_methods(browser_client: Client) -> None:
    assert browser_client.get("/api/only-post")["Allow"] == "POST"


def test_a_missing_key_is_a_401_and_a_wrong_key_a_403(browser_client: Client) -> None:
    missing = browser_client.get("/api/breaks/key")
    wrong = browser_client.get("/api/breaks/key", headers={"Authorization": "Bearer ops_nope"})

    assert (missing.status_code, missing["WWW-Authenticate"]) == (401, "Bearer")
    assert wrong.status_code == 403


def test_a_wrong_host_is_reported_but_not_echoed(browser_client: Client) -> None:
    for path in ("/admin/", "/api/nowhere"):
        response = browser_client.get(path, headers={"Host": "evil.example"})
        assert response.status_code == 400
        assert b"does not serve the requested host name" in response.content
        assert b"evil" not in response.content


def test_the_link_back_never_leads_to_another_site(browser_client: Client) -> None:
    for referer in ("https://evil.example/", "javascript:alert(1)", "//evil.example"):
        page = browser_client.get("/nowhere", headers={"Referer": referer}).content
        assert b"Previous page" not in page


def test_a_form_without_a_csrf_token_is_explained(browser_client: Client) -> None:
    response = browser_client.post("/form")
    assert response.status_code == 403
    assert b"This form has expired" in response.content


def test_a_body_that_is_too_large_is_a_413(browser_client: Client) -> None:
    response = browser_client.post(
        "/api/only-post", b"x" * (6 * 1024 * 1024), content_type="text/plain"
    )
    assert response.status_code == 413


def test_an_exception_is_logged_once_with_its_request_id(
    browser_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        browser_client.get("/breaks/bug?token=secret", headers={"X-Request-ID": "req-12345678"})

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info
    [access] = [record for record in caplog.records if record.name == "opsportal.access"]
    assert vars(access)["status"] == 500
    assert vars(access)["path"] == "/breaks/bug"


def test_an_unacceptable_request_id_is_replaced(browser_client: Client) -> None:
    for offered in ("a\tb<script>alert(1)", "short", "x" * 200):
        response = browser_client.get("/breaks/fine", headers={"X-Request-ID": offered})
        assert response["X-Request-ID"] != offered
        assert response.content.decode() == f"fine {response['X-Request-ID']}"
