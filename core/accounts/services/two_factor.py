"""Verify the second factor: an authenticator app (TOTP), a passkey or one of ten recovery codes."""

import base64
import io
from datetime import datetime

import qrcode
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpRequest
from django_otp import DEVICE_ID_SESSION_KEY, verify_token
from django_otp.plugins.otp_totp.models import TOTPDevice
from qrcode.image.svg import SvgPathImage

from core.accounts.models import AccessPolicy, Passkey, RecoveryCode

RECOVERY = "recovery code"
# A session has this key if the user signed in through an identity provider that requires a second factor itself.
REPLACED = "access.second_factor_replaced"


def is_enabled(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return True if the user has a second factor: an authenticator app or a passkey."""
    return device_of(user) is not None or Passkey.objects.filter(user=user.pk).exists()


def device_of(user: AbstractBaseUser | AnonymousUser) -> TOTPDevice | None:
    """Return the user's confirmed authenticator app, of which there is at most one, or None without one."""
    return TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).order_by("pk").first()


def is_satisfied(request: HttpRequest) -> bool:
    """Return True if the session was verified with the second factor or does not need it."""
    if DEVICE_ID_SESSION_KEY in request.session or REPLACED in request.session:
        return True
    return not _is_required(request.user)


def _is_required(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return True if the user needs a second factor. Cache False for 10 s, because many parts of a page check it."""
    key = f"access.no_second_factor.{user.pk}"
    if cache.get(key):
        return False
    if is_enabled(user) or AccessPolicy.current().require_second_factor:
        return True
    cache.set(key, True, timeout=10)
    return False


def _clear_cache(instance: TOTPDevice | Passkey, **_: object) -> None:
    cache.delete(f"access.no_second_factor.{instance.user_id}")


def connect_signals() -> None:
    for model in (TOTPDevice, Passkey):
        post_save.connect(_clear_cache, sender=model, dispatch_uid=f"access.{model.__name__}")


def remember_verified(session: SessionBase, factor: str) -> None:
    session[DEVICE_ID_SESSION_KEY] = factor


@transaction.atomic
def verify(user: User, code: str, *, now: datetime) -> str:
    """Return the id of the user's authenticator app or RECOVERY, whichever the code belongs to, or "" for a wrong code.

    The app's code must not have been used before. After each wrong code, the app is blocked for an increasing time.
    Recovery codes are not blocked.
    """
    device = device_of(user)
    code = "".join(code.split())
    if code.isascii() and code.isdigit():
        found = verify_token(user, device.persistent_id, code) if device else None
        return device.persistent_id if device and found else ""
    return RECOVERY if RecoveryCode.objects.use(user, code, now=now) else ""


def clear_verified(session: SessionBase) -> None:
    session.pop(DEVICE_ID_SESSION_KEY, None)


# --- setup --------------------------------------------------------------------------------------------------


def draft_device(user: User) -> TOTPDevice:
    """Return the device being set up. The device is the same until it is confirmed, so the page can be reloaded."""
    drafts = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk")
    return drafts.first() or TOTPDevice.objects.create(user=user, name="phone", confirmed=False)


@transaction.atomic
def confirm(user: User, device: TOTPDevice, code: str) -> list[str] | None:
    """Enable two-factor sign-in and return the recovery codes, to be shown once. Return None if the code is wrong."""
    code = "".join(code.split())
    if not device.verify_token(code):
        return None
    TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    return RecoveryCode.objects.renew_for(user)


@transaction.atomic
def remove_phone(user: User) -> None:
    """Remove the authenticator app. Remove the recovery codes too, unless the user has a passkey."""
    TOTPDevice.objects.filter(user=user).delete()
    if not Passkey.objects.filter(user=user).exists():
        RecoveryCode.objects.filter(user=user).delete()


@transaction.atomic
def remove(user: User) -> bool:
    """Disable two-factor sign-in. Return False if it was not enabled."""
    RecoveryCode.objects.filter(user=user).delete()
    passkeys, _ = Passkey.objects.filter(user=user).delete()
    return bool(TOTPDevice.objects.filter(user=user).delete()[0] or passkeys)


def setup_key(device: TOTPDevice) -> str:
    """Return the secret in groups of four characters, which are easier to type."""
    plain = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


def qr_image(device: TOTPDevice) -> str:
    """Return the QR code as a data: URL for an <img>."""
    image = qrcode.make(device.config_url, image_factory=SvgPathImage, box_size=16)
    buffer = io.BytesIO()
    image.save(buffer)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
