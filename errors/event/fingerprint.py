"""Decide which events belong to the same group. This module does not use the database.

The version of the algorithm is stored with every hash, so that a new version does not split existing groups.

A fingerprint that the client sets takes precedence. Otherwise, CSP reports are grouped by their directive and the
blocked origin. Exceptions are grouped by their types and frames or, if none of them has usable frames, by their types
and values. Other events are grouped by their message or, without one, by their stack trace. Line numbers are not used.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from errors.event.accessors import exceptions_of, is_synthetic, logentry_of
from errors.event.stack_parts import (
    MAX_CACHED_PARTS,
    NATIVE_PLATFORMS,
    parts_of_native_stack,
    parts_of_stack,
)

# Version 3 unifies function names across browsers, and uses the
# packages and symbols of native code. There is no version 2.
VERSION = 3

_DEFAULT = re.compile(r"\{\{\s*default\s*\}\}")


# --- messages ---------------------------------------------------------------------------------------------------
_VARIABLE = re.compile(
    r"""(?P<filtered>\[Filtered\])
      | (?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s"'<>]{1,2000}+)
      | (?P<email>[\w.+-]{1,64}+@[\w-]{1,64}+(?:\.[\w-]{1,64}+)+)
      | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
      | (?P<date>\b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?)
      | (?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b)
      | (?P<hex>\b0x[0-9a-f]{1,64}\b|\b(?=[0-9a-f]{0,63}\d)[0-9a-f]{8,64}\b)
      | (?P<duration>\b\d{1,20}(?:\.\d{1,20})?\ ?(?:ms|us|ns|s|min|h)\b)
      | (?P<number>(?<![\w.])[-+]?\d{1,40}(?:[.,]\d{1,40})*(?![\w]))
      | (?P<quoted>"[^"\n]{0,500}"|'[^'\n]{0,500}'(?!\w))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAX_MESSAGE_LENGTH = 2_000


def without_variables(message: str) -> str:
    """Replace the variable parts of a message, such as numbers and ids, with placeholders. Cut off a long message."""
    return _VARIABLE.sub(lambda match: f"<{match.lastgroup}>", message[:_MAX_MESSAGE_LENGTH])


# --- events -------------------------------------------------------------------------------------------------------
def _default_parts(event: Mapping[str, Any], version: int) -> list[str]:
    csp = event.get("csp")
    if isinstance(csp, dict):
        return ["csp", str(csp.get("effective_directive", "")), str(csp.get("blocked_origin", ""))]
    platform = event.get("platform") or "other"
    exceptions = exceptions_of(event)
    parts: list[str] = []
    has_stack = False
    for exception in exceptions:
        parts += ["type", "" if is_synthetic(exception) else exception.get("type") or ""]
        stack = parts_of_stack(exception.get("stacktrace"), platform, version)
        if not stack and version > 1 and platform in NATIVE_PLATFORMS:
            stack = parts_of_native_stack(
                event, exception.get("stacktrace") or _crashed_stack(event)
            )
        has_stack = has_stack or bool(stack)
        parts += stack
    if exceptions:
        if not has_stack:
            for exception in exceptions:
                parts += ["value", without_variables(exception.get("value") or "")]
        return parts
    entry = logentry_of(event)
    message = entry.get("message") or entry.get("formatted") or ""
    if message:
        return ["message", without_variables(message)]
    stack = parts_of_stack(event.get("stacktrace"), platform, version)
    if not stack and version > 1 and platform in NATIVE_PLATFORMS:
        stack = parts_of_native_stack(event, event.get("stacktrace") or _crashed_stack(event))
    return ["stack", *stack]


def _crashed_stack(event: Mapping[str, Any]) -> Any:
    """Return the stack trace of the first crashed thread, or None if no thread crashed."""
    threads = event.get("threads")
    values = threads.get("values") if isinstance(threads, dict) else None
    for thread in values if isinstance(values, list) else ():
        if isinstance(thread, dict) and thread.get("crashed"):
            return thread.get("stacktrace")
    return None


def _digest(parts: tuple[str, ...]) -> str:
    """Hash the parts with length prefixes, so that ("ab", "c") and ("a", "bc") differ."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return blake2b(
        b"".join([b"%d:%b" % (len(part), part) for part in encoded]), digest_size=16
    ).hexdigest()


_cached_digest = lru_cache(maxsize=500)(_digest)


def _custom(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [
        part if isinstance(part, str) else str(part)
        for part in value
        if isinstance(part, str | int | float)
    ]


def fingerprint(event: Mapping[str, Any]) -> str:
    """Return the hash that identifies a normalized event's group, as 32 hex digits."""
    return _fingerprint(event, VERSION)


def _fingerprint(event: Mapping[str, Any], version: int) -> str:
    own = _custom(event.get("fingerprint"))
    if not own or (len(own) == 1 and _DEFAULT.fullmatch(own[0])):
        default = tuple(_default_parts(event, version))
        is_small = len(default) <= MAX_CACHED_PARTS
        return _cached_digest(default) if is_small else _digest(default)
    parts = ["custom"]
    for part in own:
        if _DEFAULT.fullmatch(part):
            parts += _default_parts(event, version)
        else:
            parts.append(part)
    return _digest(tuple(parts))


def version_1(event: Mapping[str, Any]) -> str:
    """Return the hash that version 1 of the algorithm computes for the event."""
    return _fingerprint(event, 1)


# Each function computes the hash of an earlier version, newest version first. When the store finds a group by such a
# hash, it adds the current hash to the group.
EARLIER: tuple[Callable[[Mapping[str, Any]], str], ...] = (version_1,)
