"""Test that sign-in takes two steps for users who have a second factor."""

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.accounts.models import AccessPolicy, AuditEvent, RecoveryCode
from core.lib import ratelimit
from tests.accounts.sign_in.support import (
    LOGIN,
    PAGE,
    PASSWORD,
    VERIFY,
    code_of,
    enrolled,
    is_in,
    shown_codes,
    sign_in,
)

pytestmark = pytest.mark.django_db


def test_setup_shows_a_qr_code_and_then_ten_recovery_codes_once(
    client: Client, owner: User
) -> None:
    client.force_login(owner)
    page = client.get(PAGE).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page
    device = TOTPDevice.objects.get()
    assert not device.confirmed
    assert client.get(PAGE).status_code == 200
    # Reloading the page must keep the device whose QR code the user has already scanned.
    assert TOTPDevice.objects.get() == device

    wrong = client.post(f"{PAGE}confirm/", {"code": "000000"})
    assert "The code is incorrect" in wrong.content.decode()
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


def test_a_password_and_a_code_sign_the_user_in_and_redirect(client: Client, owner: User) -> None:
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


def test_a_code_works_only_once(owner: User) -> None:
    device, _ = enrolled(owner)
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client)
    code = code_of(device)

    first.post(VERIFY, {"code": code})
    second.post(VERIFY, {"code": code})

    assert is_in(first)
    assert not is_in(second)


def test_a_recovery_code_works_only_once_in_any_spelling(owner: User) -> None:
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
    # Users can turn the second factor off on this page, so it must not open before the code is verified.
    assert old.get(PAGE)["Location"] == VERIFY
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
