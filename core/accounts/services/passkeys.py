"""Sign in with passkeys (WebAuthn): keys on devices that check the person by fingerprint, face or PIN.

A passkey replaces both factors. It is bound to the portal's address, BASE_URL, so that no other site can request it.
The library fido2 verifies registrations and signatures; it is imported on first use, because most processes never need
it.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

from core.accounts.models import Passkey, RecoveryCode

CHALLENGE = "access.passkey"  # The session stores the pending challenge under this key.
CHALLENGE_VALID = timedelta(minutes=5)
# The session stores this value as its second factor after a sign-in with a passkey.
FACTOR = "passkey"
MAX_PASSKEYS = 20
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)


class Refused(Exception):
    """The passkey cannot be used. The message states the reason."""


def is_available() -> bool:
    """Return True if browsers offer passkeys for the portal's address: HTTPS with a host name, or localhost."""
    base = urlsplit(settings.BASE_URL)
    host = base.hostname or ""
    if host == "localhost":
        return True
    return base.scheme == "https" and not host.replace(".", "").isdigit() and ":" not in host


def _server() -> Any:
    from fido2.server import Fido2Server  # noqa: PLC0415  see the module's docstring
    from fido2.webauthn import PublicKeyCredentialRpEntity  # noqa: PLC0415

    base = urlsplit(settings.BASE_URL)
    origin = f"{base.scheme}://{base.netloc}"
    portal = PublicKeyCredentialRpEntity(id=base.hostname, name="opsportal")
    return Fido2Server(portal, verify_origin=lambda given: given == origin)


def _credentials(passkeys: Iterable[Passkey]) -> list[Any]:
    from fido2.webauthn import AttestedCredentialData  # noqa: PLC0415

    return [AttestedCredentialData(bytes(one.credential)) for one in passkeys]


def begin_registration(session: SessionBase, user: User, *, now: datetime) -> dict[str, Any]:
    """Return the options that the browser needs to create a passkey, and store their challenge in the session."""
    from fido2.webauthn import PublicKeyCredentialUserEntity  # noqa: PLC0415

    # The handle is stored on the device, so it must not identify the person.
    handle = salted_hmac("access.passkey.user", str(user.pk), algorithm="sha256").digest()
    entity = PublicKeyCredentialUserEntity(
        id=handle, name=user.get_username(), display_name=user.get_full_name() or user.username
    )
    options, state = _server().register_begin(
        entity,
        _credentials(user.passkeys.all()),
        user_verification="required",
        resident_key_requirement="required",
    )
    _remember(session, {**state, "user": user.pk}, now)
    return dict(options)


@transaction.atomic
def finish_registration(
    session: SessionBase, user: User, answer: str, *, name: str, now: datetime
) -> list[str] | None:
    """Store the new passkey. Return new recovery codes, to be shown once, or None if the person has unused ones.

    Raises Refused if the authenticator's response is not valid or comes too late, if the person has too many passkeys,
    or if the passkey is already registered.
    """
    state = _recall(session, now)
    if state.pop("user", None) != user.pk:
        raise Refused("The request has expired. Start again.")
    try:
        verified = _server().register_complete(state, json.loads(answer))
        credential = verified.credential_data
    except (*_MALFORMED, InvalidSignature, UnsupportedAlgorithm) as error:
        raise Refused("The response of this device could not be verified. Try again.") from error
    if Passkey.objects.filter(user=user).count() >= MAX_PASSKEYS:
        raise Refused(f"You have {MAX_PASSKEYS} passkeys. Remove one before you add another.")
    _, is_new = Passkey.objects.get_or_create(
        credential_id=credential.credential_id.hex(),
        defaults={
            "user": user,
            "name": name.strip()[:60] or "Passkey",
            "credential": bytes(credential),
            "sign_count": verified.counter,
            "created_at": now,
        },
    )
    if not is_new:
        raise Refused("This passkey is already registered.")
    has_codes = RecoveryCode.objects.filter(user=user, used_at=None).exists()
    return None if has_codes else RecoveryCode.objects.renew_for(user)


def begin_sign_in(session: SessionBase, user: User | None, *, now: datetime) -> dict[str, Any]:
    """Return the options that the browser needs to sign in.

    Only a passkey of `user` can then be used or, if it is None, any passkey of the portal.
    """
    known = _credentials(user.passkeys.all()) if user else None
    options, state = _server().authenticate_begin(known, user_verification="required")
    _remember(session, {**state, "user": user.pk if user else None}, now)
    return dict(options)


def finish_sign_in(session: SessionBase, answer: str, *, now: datetime) -> User:
    """Return the person whose passkey signed `answer`. Raises Refused if the answer is not valid.

    A passkey whose signature counter has not increased may be a copy, so it is refused. Passkeys without a counter
    always send 0 and are accepted.
    """
    state = _recall(session, now)
    expected = state.pop("user", None)
    try:
        given = json.loads(answer)
        passkey = _find(given)
        _server().authenticate_complete(state, _credentials([passkey]), given)
        counter = _counter(given)
    except Passkey.DoesNotExist as error:
        raise Refused(
            "This passkey is not registered in this portal. It may have been removed."
        ) from error
    except (*_MALFORMED, InvalidSignature, UnsupportedAlgorithm) as error:
        raise Refused("The passkey could not be verified. Try again.") from error
    if expected is not None and passkey.user_id != expected:
        raise Refused("This passkey belongs to another account.")
    grows = Q(sign_count__lt=counter) if counter else Q(sign_count=0)
    used = Passkey.objects.filter(grows, pk=passkey.pk)
    if not used.update(sign_count=counter, last_used_at=now):
        raise Refused("This passkey may have been copied. Remove it and add it again.")
    return passkey.user


def _find(given: Any) -> Passkey:
    from fido2.webauthn import AuthenticationResponse  # noqa: PLC0415

    credential_id = AuthenticationResponse.from_dict(given).raw_id.hex()
    people = Q(user__is_active=True, user__is_staff=True)
    return Passkey.objects.select_related("user").get(people, credential_id=credential_id)


def _counter(given: Any) -> int:
    from fido2.webauthn import AuthenticationResponse  # noqa: PLC0415

    return int(AuthenticationResponse.from_dict(given).response.authenticator_data.counter)


@transaction.atomic
def remove(passkey: Passkey) -> None:
    """Remove a passkey. If the person then has no second factor, remove the recovery codes too."""
    user = passkey.user
    passkey.delete()
    has_phone = user.totpdevice_set.filter(confirmed=True).exists()  # type: ignore[attr-defined]
    if not has_phone and not Passkey.objects.filter(user=user).exists():
        RecoveryCode.objects.filter(user=user).delete()


def _remember(session: SessionBase, state: dict[str, Any], now: datetime) -> None:
    session[CHALLENGE] = {"state": state, "until": (now + CHALLENGE_VALID).timestamp()}


def _recall(session: SessionBase, now: datetime) -> dict[str, Any]:
    """Return the pending challenge and remove it from the session. Raises Refused if it is missing or expired."""
    kept = session.pop(CHALLENGE, None)
    if kept is None or kept["until"] < now.timestamp():
        raise Refused("The request has expired. Start again.")
    return dict(kept["state"])


__all__ = [
    "FACTOR",
    "Refused",
    "begin_registration",
    "begin_sign_in",
    "finish_registration",
    "finish_sign_in",
    "is_available",
    "remove",
]
