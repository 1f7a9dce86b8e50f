"""Test that staff can sign in only with the right name and password."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core.accounts.models import AuditEvent
from tests.accounts.sign_in.support import (
    LOGIN,
    PASSWORD,
    is_in,
    sign_in,
)

pytestmark = pytest.mark.django_db


def test_the_right_password_signs_in_and_is_audited(client: Client, owner: User) -> None:
    answer = client.post(LOGIN, {"username": "anna", "password": PASSWORD})

    assert answer["Location"] == "/admin/system-health/"
    assert is_in(client)
    assert AuditEvent.objects.get().action == "signed in"


def test_sign_in_redirects_to_urls_of_the_portal_only(client: Client, owner: User) -> None:
    wanted = {"username": "anna", "password": PASSWORD}
    assert (
        client.post(LOGIN, {**wanted, "next": "/admin/jobs/job/"})["Location"] == "/admin/jobs/job/"
    )
    client.logout()
    assert "evil" not in client.post(LOGIN, {**wanted, "next": "https://evil.example/"})["Location"]


def test_users_who_are_not_staff_cannot_sign_in(client: Client) -> None:
    User.objects.create_user("bob", password=PASSWORD)

    assert sign_in(client, name="bob") == 200
    assert not is_in(client)
