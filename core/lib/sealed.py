"""Encrypt data that must not be readable in the database or its backups."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotOpen(Exception):
    """The text is damaged, or was encrypted with a key that is neither SECRET_KEY nor in SECRET_KEY_FALLBACKS."""


def seal(text: str) -> str:
    """Encrypt a string with a key derived from SECRET_KEY."""
    return _cipher().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt a string that `seal` encrypted. Raises CannotOpen."""
    try:
        return _cipher().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise CannotOpen from error


def _cipher() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([_fernet(key) for key in keys])


def _fernet(secret: str) -> Fernet:
    digest = hashlib.sha256(b"core.lib.sealed:" + secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
