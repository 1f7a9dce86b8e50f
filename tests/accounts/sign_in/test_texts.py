"""Test that the pages about signing in use the portal's words instead of those of Django's admin."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db

STOCK_WORDS = [
    "Log in",
    "login",
    "log in",
    "username:",
    "Password:",
    "password:",
    "Email",
    "email ",
    "security",
]


def texts_of(client: Client, path: str) -> str:
    page = client.get(path, follow=True).content.decode()
    return page.split("<body", 1)[1].split('<div id="content"', 1)[1]


@pytest.mark.parametrize(
    "path",
    [
        "/admin/login/",
        "/admin/password_reset/",
        "/admin/password_reset/done/",
        "/admin/reset/MQ/set-password/",
    ],
)
def test_pages_before_the_sign_in_use_one_set_of_words(client: Client, path: str) -> None:
    page = texts_of(client, path).replace('id="login-form"', "").replace("/admin/login/", "")

    assert [word for word in STOCK_WORDS if f">{word}" in page or f" {word}" in page] == []


def test_the_button_says_sign_in_like_the_heading(client: Client) -> None:
    page = texts_of(client, "/admin/login/")

    assert "<h1>Sign in</h1>" in page
    assert 'value="Sign in"' in page
    assert "Forgot your password?" in page


def test_a_wrong_password_is_named_without_jargon(client: Client, owner: User) -> None:
    page = client.post("/admin/login/", {"username": "anna", "password": "wrong"}).content.decode()

    assert "The username or the password is incorrect." in page
    assert "staff account" not in page


def test_the_password_page_has_one_title_and_no_stock_sentences(
    client: Client, owner: User
) -> None:
    client.force_login(owner)

    page = texts_of(client, "/admin/password_change/")

    assert "<h1>Change password</h1>" in page
    assert 'value="Change password"' in page
    assert "password:" not in page
