"""The environment, read with types. Wrong values are collected and named all at once by `seal()`."""

from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, EnvValidationError, FileAwareEnv


class PortalEnv(FileAwareEnv):
    """`NAME_FILE` may name a file that holds the value; an empty value is as good as none."""

    def __init__(self) -> None:
        super().__init__(eager=False, strip_whitespace=True)
        self.add_parser("database", _database)
        self.add_parser("base_url", _base_url)
        self.add_parser("zone", _zone)

    def wrong(self, name: str, message: str) -> None:
        """Have `seal()` name this one too."""
        self._errors[name].append(message)

    def seal(self) -> None:
        """Raises ImproperlyConfigured, in one line, when anything was wrong."""
        try:
            super().seal()
        except EnvValidationError as error:
            messages: Any = error.error_messages
            told = (f"{name}: {' '.join(map(str, each))}" for name, each in messages.items())
            raise ImproperlyConfigured(f"wrong settings: {'; '.join(told)}") from None

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = super()._get_value(env_key, default)
        except ValueError as error:  # the file is not there
            self.wrong(env_key, str(error))
            return default
        return default if value == "" else value


def _database(url: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError):
        found = {}
    if found.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise EnvError("not like postgresql://user:password@host:5432/name or sqlite:////path")
    return found


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise EnvError("not like https://ops.example.com")
    return url.rstrip("/")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise EnvError("not the name of a time zone, like Europe/Berlin") from None
    return name
