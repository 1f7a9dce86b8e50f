"""Verify that a webhook call comes from Stripe, and parse its body."""

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


class RejectedCall(Exception):
    """The call is rejected and not stored. Calls are counted by `reason`, which is one of a few fixed strings."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class SigningSecret:
    endpoint: str
    value: str


def secrets_for(endpoint: str) -> list[SigningSecret]:
    """Return the signing secrets of the endpoint with this name. The name "" stands for the endpoint without a name.

    An entry of STRIPE_WEBHOOK_SECRETS is `whsec_a`, or `name:whsec_a` for a named endpoint. An endpoint may have
    several secrets, so that a secret can be replaced without an interruption.
    """
    found = []
    for entry in settings.STRIPE_WEBHOOK_SECRETS:
        name, _, value = entry.strip().rpartition(":")
        if value and name == endpoint:
            found.append(SigningSecret(name, value))
    return found


def verify(body: bytes, signature: str, secrets: Sequence[SigningSecret]) -> dict[str, Any]:
    """Return the parsed body of a genuine, recent call. Raises RejectedCall for any other call."""
    if not signature:
        raise RejectedCall("no signature")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise RejectedCall("not UTF-8") from None
    if not any(_is_signed_by(body, signature, secret) for secret in secrets):
        raise RejectedCall("bad signature")
    # The signature covers the timestamp, so the timestamp is trusted only after the signature was verified.
    if _timestamp(signature) > time.time() + CLOCK_SKEW_SECONDS:
        raise RejectedCall("signed in the future")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise RejectedCall("not a JSON object") from None


def _is_signed_by(body: bytes, signature: str, secret: SigningSecret) -> bool:
    try:
        stripe_api.verify_signature(body, signature, secret.value, tolerance=TOLERANCE_SECONDS)
    except (ValueError, TypeError):  # compare_digest raises TypeError for non-ASCII characters.
        return False
    return True


def _timestamp(signature: str) -> int:
    """Return the timestamp that stripe-python verified. If there are several, it uses the first one."""
    return next(int(part[2:]) for part in signature.split(",") if part.startswith("t="))
