"""Sign-in is throttled, has two steps with a second factor, and never locks an owner out."""

import re
import time
from collections.abc import Iterator

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.accounts.models import AccessPolicy, AuditEvent, RecoveryCode
from core.accounts.services import throttle, two_factor
from core.accounts.tasks import send_password_reset
from core.lib import ratelimit

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
VERIFY = "/admin/login/verify/"
PAGE = "/admin/two-factor/"
PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def fixed_clock() -> Iterator[time_machine.Traveller]:
    """Freeze the time, on which TOTP codes and rate limits depend."""
    with time_machine.travel(1_780_000_000, tick=False) as clock:
        yield clock


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("anna", "anna@shop.example", PASSWORD)


def code_of(device: TOTPDevice, ahead: int = 0) -> str:
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time() + ahead * device.step
    return f"{totp.token():06d}"


def enrolled(user: User) -> tuple[TOTPDevice, list[str]]:
    device = two_factor.draft_device(user)
    codes = two_factor.confirm(user, device, code_of(device, ahead=-1))
    assert codes
    return device, codes


def shown_codes(page: str) -> list[str]:
    return page.partition('id="recovery-codes">')[2].partition("</pre>")[0].split()


def sign_in(client: Client, password: str = PASSWORD, name: str = "anna", **extra: str) -> int:
    ratelimit.memory.clear()  # The rate limit per address is tested elsewhere.
    return client.post(LOGIN, {"username": name, "password": password}, **extra).status_code  # type: ignore[arg-type]


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


# --- password only ----------------------------------------------------------------------------------------


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


# --- throttling ---------------------------------------------------------------------------------------------


def test_the_eleventh_attempt_from_one_address_is_rejected_even_if_correct(
    client: Client, owner: User
) -> None:
    assert [sign_in(client, "wrong") for _ in range(10)] == [200] * 10

    assert sign_in(client, "wrong") == 429
    assert sign_in(client, PASSWORD) == 429


def test_the_page_about_too_many_attempts_says_once_how_long_to_wait(
    client: Client, owner: User
) -> None:
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
def test_a_botnet_is_stopped_but_the_owners_browser_can_sign_in(owner: User) -> None:
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


def test_attempts_from_a_known_browser_are_limited_too(owner: User) -> None:
    browser = Client()
    sign_in(browser)
    browser.post("/admin/logout/")

    answers = [sign_in(browser, "wrong") for _ in range(11)]

    assert answers[8:] == [200, 200, 429]


def test_a_forged_cookie_or_that_of_another_user_has_no_effect(owner: User) -> None:
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


# --- the second factor -------------------------------------------------------------------------------------


def test_setup_shows_a_qr_code_and_then_ten_recovery_codes_once(
    client: Client, owner: User
) -> None:
    client.force_login(owner)
    page = client.get(PAGE).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page
    device = TOTPDevice.objects.get()
    assert not device.confirmed
    assert client.get(PAGE).status_code == 200
    assert TOTPDevice.objects.get() == device  # Reloading the page keeps the scanned device.

    wrong = client.post(f"{PAGE}confirm/", {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    throttle_of_the_device_passes(device)
    done = client.post(f"{PAGE}confirm/", {"code": code_of(device)}).content.decode()

    codes = shown_codes(done)
    assert len(codes) == 10
    assert RecoveryCode.objects.filter(used_at=None).count() == 10
    assert not any(code in str(RecoveryCode.objects.values()) for code in codes)
    assert codes[0] not in client.get(PAGE).content.decode()
    assert is_in(client)


def throttle_of_the_device_passes(device: TOTPDevice) -> None:
    device.refresh_from_db()
    device.throttle_reset()


def test_the_password_alone_is_not_enough_with_two_factor_sign_in(
    client: Client, owner: User
) -> None:
    enrolled(owner)

    answer = client.post(
        LOGIN, {"username": "anna", "password": PASSWORD, "next": "/admin/jobs/job/"}
    )

    assert answer["Location"].startswith(VERIFY)
    assert not is_in(client)
    assert "_auth_user_id" not in client.session


def test_password_and_code_sign_in_and_redirect(client: Client, owner: User) -> None:
    device, _ = enrolled(owner)
    before = client.session.session_key
    step = client.post(
        LOGIN, {"username": "anna", "password": PASSWORD, "next": "/admin/jobs/job/"}
    )
    assert "Code from your phone" in client.get(step["Location"]).content.decode()

    answer = client.post(step["Location"], {"code": code_of(device), "next": "/admin/jobs/job/"})

    assert answer["Location"] == "/admin/jobs/job/"
    assert is_in(client)
    assert client.session.session_key != before


def test_a_code_works_once(owner: User) -> None:
    device, _ = enrolled(owner)
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client)
    code = code_of(device)

    first.post(VERIFY, {"code": code})
    second.post(VERIFY, {"code": code})

    assert is_in(first)
    assert not is_in(second)


def test_a_recovery_code_works_once_in_any_spelling(owner: User) -> None:
    _, codes = enrolled(owner)
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client)

    first.post(VERIFY, {"code": f" {codes[3].upper().replace('-', ' ')} "})
    second.post(VERIFY, {"code": codes[3]})

    assert is_in(first)
    assert not is_in(second)


def test_the_recovery_code_of_another_user_is_rejected(client: Client, owner: User) -> None:
    enrolled(owner)
    bob = User.objects.create_superuser("bob", password=PASSWORD)
    _, bobs_codes = enrolled(bob)
    sign_in(client)

    assert client.post(VERIFY, {"code": bobs_codes[0]}).status_code == 200
    assert not is_in(client)


def test_guessing_codes_is_throttled_and_audited(client: Client, owner: User) -> None:
    enrolled(owner)
    sign_in(client)

    answers = []
    for number in range(12):
        ratelimit.memory.clear()
        answers.append(client.post(VERIFY, {"code": f"{number:06d}"}).status_code)

    assert answers[-1] == 429
    assert AuditEvent.objects.filter(action="second factor failed").count() >= 9


def test_the_first_step_expires_after_five_minutes_or_with_a_new_password(
    client: Client, owner: User, fixed_clock: time_machine.Traveller
) -> None:
    device, _ = enrolled(owner)
    sign_in(client)
    owner.set_password("another-horse-battery")
    owner.save()
    assert client.post(VERIFY, {"code": code_of(device)})["Location"] == LOGIN

    sign_in(client, "another-horse-battery")
    fixed_clock.shift(301)
    assert client.post(VERIFY, {"code": code_of(device)})["Location"] == LOGIN
    assert not is_in(client)


def test_the_second_step_requires_the_first(client: Client) -> None:
    assert client.get(VERIFY)["Location"] == LOGIN


def test_other_sessions_need_the_second_factor_once_it_is_set_up(owner: User) -> None:
    old = Client()
    sign_in(old)
    assert is_in(old)
    device, _ = enrolled(owner)

    assert not is_in(old)
    assert old.get("/admin/", follow=True).redirect_chain[-1][0].startswith(VERIFY)
    assert old.get(PAGE)["Location"] == VERIFY  # where the second factor could be turned off
    old.post(VERIFY, {"code": code_of(device)})
    assert is_in(old)


def test_turning_two_factor_sign_in_off_requires_a_code(client: Client, owner: User) -> None:
    device, codes = enrolled(owner)
    sign_in(client)
    client.post(VERIFY, {"code": code_of(device)})

    client.post(f"{PAGE}off/", {"code": "123456"})
    assert TOTPDevice.objects.exists()

    client.post(f"{PAGE}off/", {"code": codes[0]})
    assert not TOTPDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert is_in(client)


def test_new_recovery_codes_replace_the_old_ones(client: Client, owner: User) -> None:
    _, codes = enrolled(owner)
    sign_in(client)
    client.post(VERIFY, {"code": codes[0]})

    page = client.post(f"{PAGE}codes/", {"code": codes[1]}).content.decode()

    assert len(set(shown_codes(page))) == 10
    assert codes[2] not in page
    assert RecoveryCode.objects.count() == 10


# --- required second factor ---------------------------------------------------------------------------------


def test_a_required_second_factor_must_be_set_up_first(client: Client, owner: User) -> None:
    AccessPolicy.objects.create(pk=1, require_second_factor=True)
    sign_in(client)

    assert client.get("/admin/jobs/job/", follow=True).redirect_chain[-1][0].startswith(PAGE)
    device = TOTPDevice.objects.get()
    client.post(f"{PAGE}confirm/", {"code": code_of(device)})

    assert is_in(client)


def test_owners_cannot_require_a_second_factor_without_having_one(
    client: Client, owner: User
) -> None:
    url = "/admin/access/accesspolicy/add/"
    client.force_login(owner)
    refused = client.post(url, {"require_second_factor": "on"})
    assert "Set up two-factor sign-in for your own account first" in refused.content.decode()

    _, codes = enrolled(owner)
    client.get("/admin/", follow=True)
    client.post(VERIFY, {"code": codes[0]})
    client.post(url, {"require_second_factor": "on"})

    assert AccessPolicy.current().require_second_factor


def test_two_factor_devices_have_no_admin_page(client: Client, owner: User) -> None:
    client.force_login(owner)

    assert client.get("/admin/otp_totp/totpdevice/").status_code == 404


# --- password reset -------------------------------------------------------------------------------------------


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
