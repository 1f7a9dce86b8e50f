"""Read typed settings from environment variables. `seal()` reports all invalid values at once."""

from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, EnvValidationError, FileAwareEnv


class PortalEnv(FileAwareEnv):
    """An environment reader that takes values from files named by `NAME_FILE` and treats empty values as unset."""

    def __init__(self) -> None:
        super().__init__(eager=False, strip_whitespace=True)
        self._own_errors: defaultdict[str, list[str]] = defaultdict(list)
        self.add_parser("database", _database)
        self.add_parser("base_url", _base_url)
        self.add_parser("zone", _zone)

    def add_error(self, name: str, message: str) -> None:
        """Add an error for `seal()` to report."""
        self._own_errors[name].append(message)

    def seal(self) -> None:
        """Raise ImproperlyConfigured, with all errors in one line, if any value was invalid."""
        messages: dict[str, Any] = {**self._own_errors}
        try:
            super().seal()
        except EnvValidationError as error:
            own: Any = error.error_messages
            for name, found in own.items():
                messages[name] = [*found, *messages.get(name, ())]
        if messages:
            lines = (f"{name}: {' '.join(map(str, each))}" for name, each in messages.items())
            raise ImproperlyConfigured(f"invalid settings: {'; '.join(lines)}")

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = super()._get_value(env_key, default)
        except ValueError as error:  # The file that NAME_FILE names cannot be read.
            self.add_error(env_key, str(error))
            return default
        return default if value == "" else value


def _database(url: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError):
        found = {}
    if found.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise EnvError("expected postgresql://user:password@host:5432/name or sqlite:////path")
    return found


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise EnvError("expected a URL such as https://ops.example.com")
    return url.rstrip("/")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise EnvError("expected the name of a time zone, such as Europe/Berlin") from None
    return name
