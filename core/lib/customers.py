"""Derive references to customers that do not reveal their e-mail addresses or other personal data."""

import hashlib
import hmac
import re
from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac

from core.lib.scrub import scrub_text

PREFIX = "email:"
# The pattern matches only international numbers, because other numbers look like ids that apps assign.
_PHONE_NUMBER = re.compile(r"(?:tel:)?\+[\d\s().\-/]{6,24}", re.IGNORECASE)


def customer_reference(given: str) -> str:
    """Return an opaque id unchanged, but personal data such as an e-mail address or a phone number as a keyed hash.

    The portal can look up a hash but not reverse it. Without SECRET_KEY, not even a guessed address can be verified.
    """
    return customer_references(given)[0]


def customer_references(given: str) -> list[str]:
    """Return the references of a customer under SECRET_KEY and its fallbacks, any of which may be stored.

    Earlier versions did not recognize phone numbers, so a phone number may also be stored unchanged.
    """
    given = given.strip()
    normalized, earlier = given.lower(), []
    if is_phone_number(given):
        normalized = "+" + "".join(filter(str.isdigit, given))
        earlier = [given]
    elif "@" not in given and scrub_text(given) == given:
        return [given]
    digest = hashlib.sha256(normalized.encode("utf-8", "replace")).hexdigest()
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [*(keyed_reference(digest, secret) for secret in keys), *earlier]


def address_hashes(address: str) -> list[str]:
    """Return the keyed hashes of an e-mail address or URL under SECRET_KEY and its fallbacks, for lookups."""
    normalized = address.strip().lower().encode()
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [hmac.new(key.encode(), normalized, hashlib.sha256).hexdigest() for key in keys]


def is_phone_number(text: str) -> bool:
    """Return True for an international phone number, such as "+49 (151) 234-5678"."""
    text = text.strip()
    return "+" in text[:5] and _PHONE_NUMBER.fullmatch(text) is not None


def earlier_references(given: str) -> list[str]:
    """Return the other references of a customer that may be stored, such as those under an earlier SECRET_KEY."""
    return customer_references(given)[1:]


def keyed_reference(digest: str, secret: str | None = None) -> str:
    """Return the reference for the SHA-256 of a normalized address; the key is SECRET_KEY by default."""
    hashed = salted_hmac("payments.customers", digest, secret=secret, algorithm="sha256")
    return PREFIX + hashed.hexdigest()


def pseudonym(identity: str) -> str:
    """Return a short, stable pseudonym that does not reveal the identity.

    An e-mail address and its customer reference have the same pseudonym.
    """
    given = customer_reference(identity).encode("utf-8", "replace")
    return "~" + hmac.digest(_hmac_key(settings.SECRET_KEY), given, "sha256").hex()[:20]


def user_references(customer: str) -> set[str]:
    """Return the user ids that errors may contain for the customer of a payment or a reservation."""
    if not customer:
        return set()
    return {customer, pseudonym(customer)} if customer.startswith(PREFIX) else {customer}


@lru_cache(maxsize=4)
def _hmac_key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"errors.user_key", "sha256")
