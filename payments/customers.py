"""References to customers that do not reveal their e-mail addresses or other personal data."""

import hashlib

from django.conf import settings
from django.utils.crypto import salted_hmac

from core.lib.scrub import scrub_text

PREFIX = "email:"


def customer_reference(given: str) -> str:
    """Return an opaque id unchanged, and personal data such as an e-mail address as a keyed hash.

    The hash can be looked up but not read, and without SECRET_KEY not even guessed.
    """
    return customer_references(given)[0]


def customer_references(given: str) -> list[str]:
    """Return the references under which a customer may be stored: that of SECRET_KEY and those of its fallbacks."""
    given = given.strip()
    if "@" not in given and scrub_text(given) == given:
        return [given]
    digest = hashlib.sha256(given.lower().encode()).hexdigest()
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [keyed_reference(digest, secret) for secret in keys]


def keyed_reference(digest: str, secret: str | None = None) -> str:
    """Return the reference for the SHA-256 of a normalized address; the key is SECRET_KEY by default."""
    hashed = salted_hmac("payments.customers", digest, secret=secret, algorithm="sha256")
    return PREFIX + hashed.hexdigest()
