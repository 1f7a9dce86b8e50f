"""Test that users see a list of their sessions and can end the sessions in other browsers."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.accounts.models import AuditEvent, UserSession
from core.accounts.services import sessions

pytestmark = pytest.mark.django_db
PAGE = "/admin/sessions/"
PASSWORD = "correct-horse-battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1"


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", "ada@shop.example", PASSWORD)


def sign_in(name: str = "ada", agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    client.post("/admin/login/", {"username": name, "password": PASSWORD})
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def test_each_browser_is_listed_with_device_address_and_times(ada: User) -> None:
    here, there = sign_in(), sign_in(agent=IPHONE, address="192.0.2.8")

    text = here.get(PAGE).content.decode()

    assert "Firefox on Linux" in text
    assert "Safari on iOS" in text
    assert "192.0.2.7" in text
    assert "192.0.2.8" in text
    assert text.count("this browser") == 1
    assert is_signed_in(there)
    assert UserSession.objects.count() == 2


def test_the_address_is_encrypted_in_the_database(ada: User) -> None:
    sign_in()

    with connection.cursor() as cursor:
        cursor.execute("SELECT address FROM access_usersession")
        [(stored,)] = cursor.fetchall()

    assert stored.startswith("sealed:")
    assert UserSession.objects.get().address == "192.0.2.7"


def test_users_can_end_their_own_sessions(ada: User) -> None:
    here, there = sign_in(), sign_in(agent=IPHONE)
    row = UserSession.objects.get(device="Safari on iOS")

    here.post(f"{PAGE}{row.pk}/end/")

    assert not is_signed_in(there)
    assert is_signed_in(here)
    assert AuditEvent.objects.filter(action="access:session-end", user=ada).exists()


def test_users_can_end_all_their_other_sessions_at_once(ada: User) -> None:
    bob = User.objects.create_superuser("bob", password=PASSWORD)
    here, others, of_bob = sign_in(), [sign_in(), sign_in()], sign_in("bob")

    here.post(f"{PAGE}end-others/")

    assert is_signed_in(here)
    assert not any(is_signed_in(one) for one in others)
    assert is_signed_in(of_bob)
    assert UserSession.objects.filter(user=bob).count() == 1


@pytest.mark.parametrize("method", ["get", "post"])
def test_only_owners_reach_the_sessions_of_others(ada: User, method: str) -> None:
    sign_in()
    row = UserSession.objects.get()
    client = Client()
    client.force_login(User.objects.create_user("bob", is_staff=True))

    paths = [f"{PAGE}of/{ada.pk}/"]
    if method == "post":
        paths = [f"{PAGE}{row.pk}/end/", f"{PAGE}of/{ada.pk}/end/"]

    assert {getattr(client, method)(path).status_code for path in paths} == {403}
    assert UserSession.objects.filter(user=ada).exists()


def test_an_owner_can_sign_another_person_out_everywhere(ada: User) -> None:
    User.objects.create_superuser("bob", password=PASSWORD)
    here, of_bob = sign_in(), [sign_in("bob"), sign_in("bob")]
    bob = User.objects.get(username="bob")
    assert f"{PAGE}of/{bob.pk}/" in here.get(f"/admin/auth/user/{bob.pk}/change/").content.decode()
    assert "Sessions of bob" in here.get(f"{PAGE}of/{bob.pk}/").content.decode()

    here.post(f"{PAGE}of/{bob.pk}/end/")

    assert not any(is_signed_in(one) for one in of_bob)
    assert is_signed_in(here)


def test_a_session_keeps_its_row_when_its_key_changes(ada: User) -> None:
    client = sign_in()
    before = UserSession.objects.get()

    client.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": "another-horse-9", "new_password2": "another-horse-9"},
    )  # fmt: skip

    row = UserSession.objects.get()
    assert (row.pk, row.session_key == before.session_key) == (before.pk, False)
    assert row.session_key == client.session.session_key
    assert "this browser" in client.get(PAGE).content.decode()


def test_a_session_older_than_the_list_is_added_at_its_next_request(ada: User) -> None:
    client = sign_in()
    UserSession.objects.all().delete()
    session = client.session
    del session[sessions.MARK]
    session.save()

    client.get(PAGE)

    row = UserSession.objects.get()
    assert row.session_key == client.session.session_key
    assert row.created_at <= timezone.now() - sessions.RECENT


def test_signing_out_and_expiry_remove_a_session_from_the_list(ada: User) -> None:
    here, there = sign_in(), sign_in()
    sign_in()
    there.post("/admin/logout/")
    Session.objects.exclude(session_key=here.session.session_key).update(expire_date=timezone.now())

    assert UserSession.objects.live().count() == 1
    assert sessions.prune() == 2
    assert UserSession.objects.get().session_key == here.session.session_key


def test_the_last_request_is_recorded(ada: User) -> None:
    client = sign_in()
    long_ago = timezone.now() - timedelta(days=1)
    UserSession.objects.update(last_seen_at=long_ago)

    client.get("/admin/")
    sessions.session_uses.flush()

    assert UserSession.objects.get().last_seen_at > long_ago


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        (IPHONE, "Safari on iOS"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 Version/18 Safari/605", "Safari on macOS"),
        ("curl/8.9", "Unknown device"),
        ("", "Unknown device"),
        ("<script>", "Unknown device"),
    ],
)  # fmt: skip
def test_a_device_is_described_in_words(user_agent: str, device: str) -> None:
    assert sessions.describe_device(user_agent) == device


def test_an_expired_session_is_not_listed(ada: User, settings: Settings) -> None:
    settings.SESSION_COOKIE_AGE = 60
    here = sign_in()
    Session.objects.update(expire_date=datetime.fromisoformat("2026-01-01T00:00:00+00:00"))

    assert not is_signed_in(here)
    assert not UserSession.objects.live().exists()
