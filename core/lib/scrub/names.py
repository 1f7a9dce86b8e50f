"""Recognize the names of fields that contain secrets."""

import re

# A name contains a secret if one of these parts occurs anywhere in it. Separators and case are ignored.
_SECRET_PARTS = (
    "password", "passwd", "passphrase", "passcode", "secret", "apikey", "credential", "privatekey",
    "authorization", "authtoken", "accesstoken", "refreshtoken", "sessionid", "sessid", "csrf", "xsrf",
    "cardnumber", "encryptionkey", "signingkey",
)  # fmt: skip
# A name contains a secret if one of its words is in _SECRET_WORDS (`author` does not match `auth`), or if its last word
# is in _SECRET_LAST_WORDS (`device_token`, but not `token_count`).
_SECRET_WORDS = frozenset((
    "auth", "oauth", "oauth2", "authentication", "bearer", "cookie", "cookies",
    "pwd", "jwt", "cvv", "cvc", "ssn", "otp", "totp",
))  # fmt: skip
_SECRET_LAST_WORDS = frozenset(("token", "pin", "sid", "pass"))

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_MAX_NAME_LENGTH = 200


def words_of(name: str) -> list[str]:
    return [word for word in _SEPARATORS.split(_CAMEL.sub(" ", name).lower()) if word]


def is_secret_name(name: str, extra: frozenset[str], safe: frozenset[str]) -> bool:
    words = words_of(name[:_MAX_NAME_LENGTH])
    joined = "".join(words)
    if joined in safe:
        return False
    if joined in extra or any(marker in joined for marker in _SECRET_PARTS):
        return True
    return bool(words) and (words[-1] in _SECRET_LAST_WORDS or not _SECRET_WORDS.isdisjoint(words))
