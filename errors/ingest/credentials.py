"""Find the key in a request. SDKs send it in one of several headers, in the query, or in a DSN."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

_SENTRY_KEY = re.compile(r"(?:^|[\s,])sentry_key\s*=\s*\"?([^\s,\"]+)", re.IGNORECASE)
_SENTRY = re.compile(r"\s*sentry\b", re.IGNORECASE)


def keys(environ: Mapping[str, Any]) -> list[str]:
    """Return the keys in the headers and the query, most specific first, or [] if there are none."""
    found = []
    for name in ("HTTP_X_SENTRY_AUTH", "HTTP_AUTHORIZATION"):
        header = environ.get(name)
        if not header:
            continue
        if name == "HTTP_X_SENTRY_AUTH" or _SENTRY.match(header):
            match = _SENTRY_KEY.search(header)
            if match:
                found.append(match[1])
        elif header[:6].lower() == "basic ":
            try:
                user = base64.b64decode(header[6:].strip(), validate=True).partition(b":")[0]
                found.append(user.decode("ascii"))
            except (binascii.Error, ValueError, UnicodeDecodeError):
                pass
    query = environ.get("QUERY_STRING")
    if query and "sentry_key" in query:
        found += pairs_in(query).get("sentry_key", [])[:1]
    return found


def pairs_in(query: str) -> dict[str, list[str]]:
    """Return the query's names and values, or {} if it has more than 50 pairs."""
    try:
        return parse_qs(query, max_num_fields=50)
    except ValueError:
        return {}


def of_dsn(value: Any) -> tuple[str, int] | None:
    """Return the (key, project id) of a DSN, or None if it is not a valid DSN."""
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value)
        key = parts.username
    except ValueError:
        return None
    project = parts.path.rstrip("/").rpartition("/")[2]
    if not key or not (project.isascii() and project.isdigit() and len(project) < 19):
        return None
    return key, int(project)
