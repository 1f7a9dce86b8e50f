"""Test that users can add passkeys soon after a sign-in, and use them instead of a password or a code."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.accounts.models import AccessPolicy, AuditEvent, Passkey, RecoveryCode, UserSession
from core.accounts.services import passkeys, two_factor
from tests.accounts.sign_in.authenticator import PRESENT, Authenticator
from tests.accounts.sign_in.support import enrolled

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-battery"
ORIGIN = "http://localhost:8000"


@pytest.fixture(autouse=True)
def base_url(settings: Settings) -> None:
    settings.BASE_URL = ORIGIN


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada", "ada@shop.example", PASSWORD)


@pytest.fixture
def key() -> Authenticator:
    return Authenticator(ORIGIN)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def add(client: Client, key: Authenticator, name: str = "laptop") -> Any:
    options = client.post("/admin/passkeys/options/").json()
    return client.post("/admin/passkeys/add/", {"name": name, "credential": key.create(options)})


def sign_in(client: Client, key: Authenticator, **form: str) -> Any:
    options = client.post("/admin/login/passkey/options/").json()
    return client.post("/admin/login/passkey/", {"credential": key.get(options), **form})


def is_signed_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def refused(client: Client) -> list[str]:
    """Return the messages that the sign-in page shows after a refusal."""
    return [str(one) for one in client.get("/admin/login/", follow=True).context["messages"]]


# --- adding passkeys -----------------------------------------------------------------------------------------


def test_the_first_passkey_comes_with_recovery_codes(ada: User, key: Authenticator) -> None:
    client = browser(ada)

    page = add(client, key).content.decode()

    passkey = Passkey.objects.get()
    assert (passkey.user, passkey.name) == (ada, "laptop")
    assert "Your recovery codes" in page
    assert RecoveryCode.objects.filter(user=ada).count() == 10
    assert is_signed_in(client)  # The session that added the passkey stays signed in.
    assert AuditEvent.objects.filter(user=ada, action="passkey added").exists()


def test_further_passkeys_do_not_change_the_recovery_codes(ada: User, key: Authenticator) -> None:
    client = browser(ada)
    add(client, key)
    before = set(RecoveryCode.objects.values_list("digest", flat=True))

    add(client, Authenticator(ORIGIN), "phone")

    assert Passkey.objects.count() == 2
    assert set(RecoveryCode.objects.values_list("digest", flat=True)) == before


def test_the_options_name_the_portal_and_not_the_person(ada: User) -> None:
    options = browser(ada).post("/admin/passkeys/options/").json()["publicKey"]

    assert options["rp"]["id"] == "localhost"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert str(ada.pk) != options["user"]["id"]
    assert "ada@shop.example" not in str(options)


def tampered(**changes: Any) -> Callable[[Authenticator], None]:
    return lambda key: vars(key).update(changes)


ATTACKS = {
    "another site": tampered(origin="https://evil.example"),
    "a subdomain": tampered(origin="http://a.localhost:8000"),
    "another port": tampered(origin="http://localhost:9000"),
    "another relying party": tampered(rp_id="evil.example"),
    "no user verification": tampered(flags=PRESENT),
    "no user presence": tampered(flags=0),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_registration_is_refused(ada: User, key: Authenticator, attack: str) -> None:
    ATTACKS[attack](key)

    add(browser(ada), key)

    assert not Passkey.objects.exists()


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"id": 1}', "x" * 5_000, '"\\u0000"'])
def test_a_malformed_answer_is_refused(ada: User, key: Authenticator, answer: str) -> None:
    client = browser(ada)
    client.post("/admin/passkeys/options/")
    assert client.post("/admin/passkeys/add/", {"credential": answer}).status_code == 302

    add(client, key)
    client.logout()
    client.post("/admin/login/passkey/options/")
    assert client.post("/admin/login/passkey/", {"credential": answer}).status_code == 302

    assert Passkey.objects.count() == 1
    assert not is_signed_in(client)


def test_a_challenge_is_valid_once_and_for_one_person_only(ada: User, key: Authenticator) -> None:
    client, other = browser(ada), browser(User.objects.create_superuser("bob"))
    answer = key.create(client.post("/admin/passkeys/options/").json())

    other.post("/admin/passkeys/add/", {"credential": answer})
    assert not Passkey.objects.exists()

    client.post("/admin/passkeys/add/", {"credential": answer})
    Passkey.objects.all().delete()
    client.post("/admin/passkeys/add/", {"credential": answer})
    assert not Passkey.objects.exists()


def test_a_challenge_expires(
    ada: User, key: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "CHALLENGE_VALID", timedelta(seconds=-1))

    add(browser(ada), key)

    assert not Passkey.objects.exists()


def test_a_device_is_registered_only_once(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)

    add(browser(User.objects.create_superuser("bob")), key)

    assert Passkey.objects.get().user == ada


@pytest.mark.parametrize("path", ["/admin/passkeys/options/", "/admin/passkeys/{pk}/remove/"])
def test_changing_passkeys_requires_a_recent_sign_in(
    ada: User, key: Authenticator, path: str
) -> None:
    client = browser(ada)
    add(client, key)
    UserSession.objects.update(created_at=timezone.now() - timedelta(minutes=11))

    answer = client.post(path.format(pk=Passkey.objects.get().pk))

    assert answer.status_code in (302, 409)
    assert Passkey.objects.count() == 1


# --- signing in -------------------------------------------------------------------------------------


def test_a_passkey_signs_in_without_password_and_code(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    client = Client()
    assert "Sign in with a passkey" in client.get("/admin/login/").content.decode()

    answer = sign_in(client, key, next="/admin/alerts/")

    assert answer["Location"] == "/admin/alerts/"
    assert is_signed_in(client)
    assert Passkey.objects.get().last_used_at is not None
    assert AuditEvent.objects.filter(user=ada, action="signed in").exists()


def test_a_passkey_is_the_second_factor_after_a_password(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    client = Client()
    first = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert first["Location"] == "/admin/login/verify/"
    assert "Continue with a passkey" in client.get("/admin/login/verify/").content.decode()
    assert not is_signed_in(client)

    sign_in(client, key)

    assert is_signed_in(client)


def test_a_recovery_code_replaces_a_lost_passkey(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    code = RecoveryCode.objects.renew_for(ada)[0]
    client = Client()
    client.post("/admin/login/", {"username": "ada", "password": PASSWORD})

    client.post("/admin/login/verify/", {"code": code})

    assert is_signed_in(client)


def test_the_passkey_of_another_person_is_no_second_factor(ada: User, key: Authenticator) -> None:
    add(browser(ada), Authenticator(ORIGIN))
    add(browser(User.objects.create_superuser("bob")), key)
    client = Client()
    client.post("/admin/login/", {"username": "ada", "password": PASSWORD})

    sign_in(client, key)

    assert not is_signed_in(client)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_sign_in_is_refused(ada: User, key: Authenticator, attack: str) -> None:
    add(browser(ada), key)
    ATTACKS[attack](key)
    client = Client()

    sign_in(client, key)

    assert not is_signed_in(client)


def test_the_signature_of_another_key_is_refused(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    thief = Authenticator(ORIGIN)
    thief.credential_id = key.credential_id
    client = Client()

    sign_in(client, thief)

    assert not is_signed_in(client)
    assert "The passkey could not be verified. Try again." in refused(client)


def test_a_recorded_answer_does_not_sign_in_again(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    client = Client()
    answer = key.get(client.post("/admin/login/passkey/options/").json())
    client.post("/admin/login/passkey/", {"credential": answer})
    client.post("/admin/logout/")

    client.post("/admin/login/passkey/options/")
    client.post("/admin/login/passkey/", {"credential": answer})

    assert not is_signed_in(client)


@pytest.mark.parametrize(
    ("counters", "accepted"),
    [([0, 0], True), ([1, 2], True), ([5, 5], False), ([5, 4], False), ([5, 0], False)],
)
def test_a_counter_that_does_not_grow_reveals_a_copied_passkey(
    ada: User, key: Authenticator, counters: list[int], accepted: bool
) -> None:
    add(browser(ada), key)
    for key.counter in counters:
        client = Client()
        sign_in(client, key)

    assert is_signed_in(client) == accepted


def test_people_who_may_not_sign_in_are_refused(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    User.objects.update(is_active=False)
    client = Client()

    sign_in(client, key)

    User.objects.update(is_active=True)
    assert not is_signed_in(client)


def test_a_single_sign_on_policy_applies_to_passkeys(
    ada: User, key: Authenticator, settings: Settings
) -> None:
    add(browser(ada), key)
    settings.SSO_ISSUER, settings.SSO_CLIENT_ID = "https://id.example", "portal"
    policy = AccessPolicy.objects.create(pk=1, require_single_sign_on=True)
    client = Client()

    sign_in(client, key)
    assert not is_signed_in(client)

    policy.password_users.add(ada)
    sign_in(client, key)
    assert is_signed_in(client)


def test_a_sign_in_gives_the_session_a_new_key(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    client = Client()
    options = client.post("/admin/login/passkey/options/").json()
    before = client.cookies["sessionid"].value

    client.post("/admin/login/passkey/", {"credential": key.get(options)})

    assert client.cookies["sessionid"].value != before


# --- the policy, and removing -----------------------------------------------------------------------


def test_a_passkey_satisfies_a_two_factor_policy(ada: User, key: Authenticator) -> None:
    AccessPolicy.objects.create(pk=1, require_second_factor=True)
    client = browser(ada)
    assert not is_signed_in(client)

    add(client, key)

    assert is_signed_in(client)


def test_other_sessions_must_use_the_new_passkey(ada: User, key: Authenticator) -> None:
    here, there = browser(ada), browser(ada)
    assert is_signed_in(there)

    add(here, key)

    assert is_signed_in(here)
    assert there.get("/admin/")["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(("has_phone", "codes"), [(True, 10), (False, 0)])
def test_removing_the_last_factor_removes_the_recovery_codes(
    ada: User, key: Authenticator, has_phone: bool, codes: int
) -> None:
    client = browser(ada)
    add(client, key)
    if has_phone:
        enrolled(ada)

    client.post(f"/admin/passkeys/{Passkey.objects.get().pk}/remove/")

    assert not Passkey.objects.exists()
    assert RecoveryCode.objects.filter(user=ada).count() == codes
    assert AuditEvent.objects.filter(action="passkey removed").exists()


def test_people_can_remove_only_their_own_passkeys(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)
    passkey = Passkey.objects.get()

    answer = browser(User.objects.create_superuser("bob")).post(
        f"/admin/passkeys/{passkey.pk}/remove/"
    )

    assert answer.status_code == 404
    assert Passkey.objects.exists()


def test_a_sign_in_reset_removes_passkeys(ada: User, key: Authenticator) -> None:
    add(browser(ada), key)

    call_command("resetlogin", "ada")

    assert not two_factor.is_enabled(ada)


@pytest.mark.parametrize(
    ("url", "available"),
    [
        ("https://ops.example.com", True),
        ("http://localhost:8000", True),
        ("http://ops.example.com", False),
        ("https://192.0.2.1", False),
        ("https://[2001:db8::1]", False),
    ],
)
def test_passkeys_need_https_and_a_host_name(
    ada: User, settings: Settings, url: str, available: bool
) -> None:
    settings.BASE_URL = url

    assert passkeys.is_available() == available
    assert browser(ada).post("/admin/passkeys/options/").status_code == (200 if available else 409)
