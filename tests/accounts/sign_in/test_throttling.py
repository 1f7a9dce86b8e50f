"""Test that guessing passwords is throttled, and that throttling never locks an owner out."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core.accounts.models import AuditEvent
from core.accounts.services import throttle
from tests.accounts.sign_in.support import LOGIN, PASSWORD, sign_in

pytestmark = pytest.mark.django_db


def test_the_eleventh_attempt_from_one_address_is_rejected_even_if_correct(
    client: Client, owner: User
) -> None:
    assert [sign_in(client, "wrong") for _ in range(10)] == [200] * 10

    assert sign_in(client, "wrong") == 429
    assert sign_in(client, PASSWORD) == 429


def test_the_page_about_too_many_attempts_states_the_wait_once(client: Client, owner: User) -> None:
    for _ in range(11):
        answer = client.post(LOGIN, {"username": "anna", "password": "wrong"})

    page = answer.content.decode()
    assert "Too many attempts to sign in" in page
    assert page.count("Try again in") == 1
    assert "wait" not in page.casefold()


def test_another_address_and_another_name_are_not_affected(client: Client, owner: User) -> None:
    User.objects.create_superuser("bob", password=PASSWORD)
    for _ in range(11):
        sign_in(client, "wrong", REMOTE_ADDR="203.0.113.1")

    assert sign_in(Client(), name="bob", REMOTE_ADDR="203.0.113.1") == 302
    assert sign_in(Client(), REMOTE_ADDR="203.0.113.2") == 302


def test_an_ipv6_network_and_spellings_of_a_name_count_together(
    client: Client, owner: User
) -> None:
    for number in range(10):
        name = "anna" if number % 2 else " ANNA "
        sign_in(client, "wrong", name=name, REMOTE_ADDR=f"2001:db8::{number + 1:x}")

    assert sign_in(client, "wrong", REMOTE_ADDR="2001:db8::ffff") == 429


def test_a_forged_forwarded_header_does_not_evade_the_limit(client: Client, owner: User) -> None:
    answers = [
        sign_in(client, "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        for number in range(11)
    ]

    assert answers[-1] == 429


@pytest.mark.slow
def test_a_botnet_is_stopped_but_the_owner_can_still_sign_in_from_a_known_browser(
    owner: User,
) -> None:
    own_browser = Client()
    assert sign_in(own_browser) == 302
    own_browser.post("/admin/logout/")

    answers = [
        sign_in(Client(), "wrong", REMOTE_ADDR=f"203.0.{number // 250}.{number % 250}")
        for number in range(105)
    ]

    assert answers[-1] == 429
    assert sign_in(Client(), REMOTE_ADDR="192.0.2.1") == 429
    assert sign_in(own_browser, REMOTE_ADDR="192.0.2.2") == 302


def test_attempts_from_a_known_browser_are_also_limited(owner: User) -> None:
    browser = Client()
    sign_in(browser)
    browser.post("/admin/logout/")

    answers = [sign_in(browser, "wrong") for _ in range(11)]

    assert answers[8:] == [200, 200, 429]


def test_a_forged_cookie_or_another_users_cookie_has_no_effect(owner: User) -> None:
    bobs = Client()
    User.objects.create_superuser("bob", password=PASSWORD)
    sign_in(bobs, name="bob")
    forged = Client()
    forged.cookies[throttle.COOKIE] = "eyJpZCI6ICJ4In0:1:2"

    for client in (bobs, forged):
        for _ in range(10):
            sign_in(client, "wrong", REMOTE_ADDR="203.0.113.9")
        assert sign_in(client, "wrong", REMOTE_ADDR="203.0.113.9") == 429
        throttle_windows_pass()


def throttle_windows_pass() -> None:
    from django.core.cache import caches

    caches["ratelimit"].clear()


def test_only_failed_sign_ins_of_existing_users_are_audited(client: Client, owner: User) -> None:
    sign_in(client, "wrong")
    sign_in(client, "wrong", name="my-password-by-mistake")

    assert [event.username for event in AuditEvent.objects.all()] == ["anna"]
    assert AuditEvent.objects.get().action == "sign-in failed"
