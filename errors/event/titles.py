"""Derive the title and culprit of a normalized event."""

from typing import Any

UNLABELED = "<unlabeled event>"


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


def title_of(event: dict[str, Any]) -> tuple[str, str]:
    """Return the title and the type: of the last exception, or of the message."""
    exceptions = (event.get("exception") or {}).get("values") or []
    if exceptions:
        last = exceptions[-1]
        kind = last.get("type") or ""
        value = _first_line(last.get("value") or "")
        if (last.get("mechanism") or {}).get("synthetic") and value:
            kind = kind or "Error"
        if kind or value:
            return (f"{kind}: {value}" if kind and value else kind or value), kind
    entry = event.get("logentry") or {}
    return _first_line(entry.get("formatted") or entry.get("message") or "") or UNLABELED, ""


def culprit_of(event: dict[str, Any]) -> str:
    """Return the culprit: as the client states it, the transaction, or the innermost frame of the app's own code."""
    given = event.get("culprit") or event.get("transaction")
    if given:
        return str(given)
    exceptions = (event.get("exception") or {}).get("values") or []
    stacktrace = (exceptions[-1].get("stacktrace") if exceptions else event.get("stacktrace")) or {}
    frames = stacktrace.get("frames") or []
    for frame in reversed([frame for frame in frames if frame.get("in_app")] or frames):
        where = frame.get("module") or frame.get("filename") or ""
        function = frame.get("function") or ""
        if where or function:
            return f"{where} in {function}" if where and function else where or function
    return ""
