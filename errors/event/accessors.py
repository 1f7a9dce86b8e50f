"""Read parts of a normalized event. A part that was filtered because of the app's scrub keys counts as missing."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.lib.scrub import Scrubbed


class Frames(list[dict[str, Any]], Scrubbed):
    """The scrubbed frames of a stack, and the values to encode in their place (`encoded`).

    Stacks with the same `key` differ at most in the local variables of their frames, which the fingerprint ignores.
    """

    __slots__ = ("encoded", "key")

    def __init__(
        self, frames: Iterable[dict[str, Any]], encoded: tuple[Any, ...], key: tuple[int, ...]
    ) -> None:
        super().__init__(frames)
        self.encoded, self.key = encoded, key


def exceptions_of(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the exceptions of a normalized event, or [] if there are none or they were filtered."""
    exception = event.get("exception")
    values = exception.get("values") if isinstance(exception, dict) else None
    return values if isinstance(values, list) else []


def frames_of(stacktrace: Any) -> list[dict[str, Any]]:
    """Return the frames of a normalized stack trace, or [] if there are none or they were filtered."""
    frames = stacktrace.get("frames") if isinstance(stacktrace, dict) else None
    return frames if isinstance(frames, list) else []


def is_synthetic(exception: Mapping[str, Any]) -> bool:
    """Return True if the SDK created the exception itself, which makes its type meaningless."""
    mechanism = exception.get("mechanism")
    return isinstance(mechanism, dict) and bool(mechanism.get("synthetic"))


def logentry_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `logentry` of a normalized event, or {} if there is none or it was filtered."""
    entry = event.get("logentry")
    return entry if isinstance(entry, dict) else {}
