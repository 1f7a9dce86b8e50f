"""Compute fingerprints, which show whether a request with a known idempotency key is the same as the first one.

The fingerprints are keyed, because a request contains personal data that could be guessed from an unkeyed hash.
"""

import hmac
from functools import lru_cache

from django.conf import settings


def keyed_fingerprint(digest: str, secret: str | None = None) -> str:
    """Return the fingerprint to store for the SHA-256 of a normalized request; the key is SECRET_KEY by default."""
    return hmac.digest(_key(secret or settings.SECRET_KEY), digest.encode(), "sha256").hex()


def is_same_request(stored: str, digest: str) -> bool:
    """Return True if the fingerprint belongs to the request, under SECRET_KEY or one of its fallbacks."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(stored, keyed_fingerprint(digest, key)) for key in keys)


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"core.lib.fingerprints", "sha256")
