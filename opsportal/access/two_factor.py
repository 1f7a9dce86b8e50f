"""The second factor: a code from an app on the phone (TOTP), or one of ten recovery codes."""

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

from opsportal.access.models import AccessPolicy, RecoveryCode


def device_of(user: AbstractBaseUser | AnonymousUser) -> TOTPDevice | None:
    """The confirmed device of a user, who has one at most."""
    return TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).order_by("pk").first()


def is_satisfied(request: HttpRequest) -> bool:
    """Whether this session has proved all that is asked of its user."""
    return DEVICE_ID_SESSION_KEY in request.session or not _is_asked(request.user)


def _is_asked(user: AbstractBaseUser | AnonymousUser) -> bool:
    """That nothing is asked of a user is remembered for ten seconds, as every part of a page wants to know."""
    key = f"access.no_second_factor.{user.pk}"
    if cache.get(key):
        return False
    if device_of(user) is not None or AccessPolicy.current().require_second_factor:
        return True
    cache.set(key, True, timeout=10)
    return False


def _forget_not_asked(instance: TOTPDevice, **_: object) -> None:
    cache.delete(f"access.no_second_factor.{instance.user_id}")


def listen() -> None:
    post_save.connect(_forget_not_asked, sender=TOTPDevice, dispatch_uid="access.two_factor")


def remember_verified(session: SessionBase, device: TOTPDevice) -> None:
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id


@transaction.atomic
def verify(user: User, code: str, *, now: datetime) -> TOTPDevice | None:
    """The user's device when the code is right: the phone's, once, or an unused recovery code.

    Wrong codes make the device wait, longer each time; a recovery code is not delayed by that.
    """
    device = device_of(user)
    if device is None:
        return None
    code = "".join(code.split())
    if code.isascii() and code.isdigit():
        found: TOTPDevice | None = verify_token(user, device.persistent_id, code)
        return found
    return device if RecoveryCode.objects.use(user, code, now=now) else None


def forget_verified(session: SessionBase) -> None:
    session.pop(DEVICE_ID_SESSION_KEY, None)


# --- setting it up ------------------------------------------------------------------------------------------


def draft_device(user: User) -> TOTPDevice:
    """The device being set up: the same one until it is confirmed, so that reloading the page changes nothing."""
    drafts = TOTPDevice.objects.filter(user=user, confirmed=False).order_by("pk")
    return drafts.first() or TOTPDevice.objects.create(user=user, name="phone", confirmed=False)


@transaction.atomic
def confirm(user: User, device: TOTPDevice, code: str) -> list[str] | None:
    """Turn the second factor on when the phone's code is right. The recovery codes, to be shown once; or None."""
    code = "".join(code.split())
    if not device.verify_token(code):
        return None
    TOTPDevice.objects.filter(user=user).exclude(pk=device.pk).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    return RecoveryCode.objects.renew_for(user)


@transaction.atomic
def remove(user: User) -> bool:
    """Turn it off. False when it was not on."""
    RecoveryCode.objects.filter(user=user).delete()
    return bool(TOTPDevice.objects.filter(user=user).delete()[0])


def setup_key(device: TOTPDevice) -> str:
    """The secret as people type it, in groups of four."""
    plain = base64.b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


def qr_image(device: TOTPDevice) -> str:
    """What the phone's camera reads, as an address for an <img>: the policy allows data: there, and nothing inline."""
    image = qrcode.make(device.config_url, image_factory=SvgPathImage, box_size=16)
    drawn = io.BytesIO()
    image.save(drawn)
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
