"""Is this call really from Stripe? Bytes and a header in, an event's data out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings

from payments import stripe_api

MAX_BYTES = 512 * 1024
TOLERANCE_SECONDS = 300
CLOCK_SKEW_SECONDS = 30


class Refused(Exception):
    """The call is not taken, and nothing of it is stored. `reason` is one of few, for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Secret:
    endpoint: str
    value: str


def secrets_for(endpoint: str) -> list[Secret]:
    """The secrets that are good at this endpoint, current and previous: `whsec_a` or `name:whsec_a` in the settings."""
    found = []
    for entry in settings.STRIPE_WEBHOOK_SECRETS:
        name, _, value = entry.strip().rpartition(":")
        if value and name == endpoint:
            found.append(Secret(name, value))
    return found


def verified(body: bytes, signature: str, secrets: Sequence[Secret]) -> dict[str, Any]:
    """What a genuine, fresh call says. Raises Refused."""
    if not signature:
        raise Refused("no signature")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    if not any(_is_signed_by(body, signature, secret) for secret in secrets):
        raise Refused("bad signature")
    # Only now: the timestamp is part of what is signed.
    if _timestamp(signature) > time.time() + CLOCK_SKEW_SECONDS:
        raise Refused("signed in the future")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise Refused("not a JSON object") from None


def _is_signed_by(body: bytes, signature: str, secret: Secret) -> bool:
    try:
        stripe_api.verify_signature(body, signature, secret.value, tolerance=TOLERANCE_SECONDS)
    except (ValueError, TypeError):  # compare_digest raises TypeError on characters beyond ASCII
        return False
    return True


def _timestamp(signature: str) -> int:
    """The one stripe-python verified: the first `t=`."""
    return next(int(part[2:]) for part in signature.split(",") if part.startswith("t="))
