"""Sign in as a browser does, and enroll devices for the second factor."""

import time

from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.accounts.services import two_factor
from core.lib import ratelimit

LOGIN = "/admin/login/"
VERIFY = "/admin/login/verify/"
PAGE = "/admin/two-factor/"
PASSWORD = "correct-horse-battery"


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
    ratelimit.memory.clear()  # Earlier sign-ins must not count toward the rate limit of the test's address.
    return client.post(LOGIN, {"username": name, "password": password}, **extra).status_code  # type: ignore[arg-type]


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200
