"""Test that users who forgot their password can set a new one through a link in an e-mail."""

import re

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from core.accounts.tasks import send_password_reset
from core.lib import ratelimit
from tests.accounts.sign_in.support import (
    sign_in,
)

pytestmark = pytest.mark.django_db


def test_a_reset_link_is_e_mailed_and_works_once(
    client: Client, owner: User, mailoutbox: list[mail.EmailMessage]
) -> None:
    assert client.post("/admin/password_reset/", {"email": "Anna@shop.example"}).status_code == 302
    assert send_password_reset(user_id=owner.pk) == "sent"

    link = re.search(r"http\S+", str(mailoutbox[0].body))
    assert link
    path = link[0].split(":8000", 1)[1]
    form = client.get(path, follow=True)
    place = form.redirect_chain[-1][0]
    chosen = {"new_password1": "staple-battery-9", "new_password2": "staple-battery-9"}
    client.post(place, chosen)

    assert sign_in(Client(), "staple-battery-9") == 302
    assert "no longer valid" in client.get(path, follow=True).content.decode() or (
        "invalid" in client.get(path, follow=True).content.decode()
    )


def test_the_page_does_not_reveal_which_users_exist(client: Client, owner: User) -> None:
    known = client.post("/admin/password_reset/", {"email": "anna@shop.example"}, follow=True)
    unknown = client.post("/admin/password_reset/", {"email": "x@shop.example"}, follow=True)

    assert known.content.split(b"<main")[-1] == unknown.content.split(b"<main")[-1]


def test_resets_are_throttled_by_e_mail_and_by_client_address(client: Client, owner: User) -> None:
    def ask(email: str, address: str) -> int:
        ratelimit.memory.clear()
        answer = client.post("/admin/password_reset/", {"email": email}, REMOTE_ADDR=address)
        return answer.status_code

    same_mail = [ask("anna@shop.example", f"203.0.113.{n}") for n in range(4)]
    same_address = [ask(f"x{n}@shop.example", "192.0.2.1") for n in range(6)]

    assert same_mail == [302, 302, 302, 429]
    assert same_address == [302] * 5 + [429]
