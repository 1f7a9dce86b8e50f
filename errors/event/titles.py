"""Derive the title and culprit of a normalized event."""

from typing import Any

from errors.event.accessors import exceptions_of, frames_of, is_synthetic, logentry_of

UNLABELED = "<unlabeled event>"
# SDKs give these names to files and functions without a name.
_UNKNOWN = frozenset(("", "?", "<unknown>"))


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


def title_of(event: dict[str, Any]) -> tuple[str, str]:
    """Return the title and the type (or "") of the event, from its last exception or from its message."""
    exceptions = exceptions_of(event)
    if exceptions:
        last = exceptions[-1]
        kind = last.get("type") or ""
        value = _first_line(last.get("value") or "")
        if value and is_synthetic(last):
            kind = kind or "Error"
        if kind or value:
            return (f"{kind}: {value}" if kind and value else kind or value), kind
    entry = logentry_of(event)
    return _first_line(entry.get("formatted") or entry.get("message") or "") or UNLABELED, ""


def culprit_of(event: dict[str, Any]) -> str:
    """Return the culprit: the client's value, else the transaction, else the innermost frame of the app's own code."""
    given = event.get("culprit") or event.get("transaction")
    if given:
        return str(given)
    exceptions = exceptions_of(event)
    frames = frames_of((exceptions[-1] if exceptions else event).get("stacktrace"))
    for frame in reversed([frame for frame in frames if frame.get("in_app")] or frames):
        places = (frame.get("module") or "", frame.get("filename") or "")
        where = next((place for place in places if place not in _UNKNOWN), "")
        function = frame.get("function") or ""
        function = "" if function in _UNKNOWN else function
        if where or function:
            return f"{where} in {function}" if where and function else where or function
    return ""
