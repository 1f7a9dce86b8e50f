"""Convert the events of all SDKs to one shape. Invalid fields are converted or removed; the event is kept.

The result is a Sentry event whose members have known types. `exception`, `threads` and `breadcrumbs` are
`{"values": [dict, …]}`. `frames` is a list of dicts, `tags` is a dict of strings, and `logentry` is a dict. In
`request`, `headers` and `env` are dicts. Templates and the fingerprint rely on this shape. `errors` lists most
problems.
"""

import contextlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from core.lib.scrub import Scrubbed
from errors.models import Severity

MAX_FRAMES = 250
MAX_BREADCRUMBS = 100
MAX_TAGS = 100
MAX_TAG_LENGTH = 200
MAX_MESSAGE_LENGTH = 8 * 1024
MAX_NAME_LENGTH = 512

ALIASES = {
    "sentry.interfaces.Message": "logentry",
    "sentry.interfaces.Exception": "exception",
    "sentry.interfaces.Stacktrace": "stacktrace",
    "sentry.interfaces.Http": "request",
    "sentry.interfaces.User": "user",
    "sentry.interfaces.Breadcrumbs": "breadcrumbs",
    "sentry.interfaces.Contexts": "contexts",
    "sentry.interfaces.Template": "template",
}
EXCEPTION_MEMBERS = ("type", "value", "module", "thread_id", "mechanism", "stacktrace")
KEPT = frozenset((
    "event_id", "timestamp", "platform", "level", "logger", "transaction", "server_name", "release", "dist",
    "environment", "logentry", "message", "exception", "threads", "stacktrace", "template", "breadcrumbs", "user",
    "request", "contexts", "tags", "extra", "modules", "sdk", "fingerprint", "culprit", "debug_meta", "csp", "type",
    "time_spent", "site", "errors",
))  # fmt: skip

_LEVELS = {
    "debug": Severity.INFO,
    "info": Severity.INFO,
    "log": Severity.INFO,
    "sample": Severity.INFO,
    "medium": Severity.WARNING,
    "warning": Severity.WARNING,
    "warn": Severity.WARNING,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "exception": Severity.HIGH,
    "fatal": Severity.CRITICAL,
    "critical": Severity.CRITICAL,
}
_NUMBERED_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "fatal"}


def severity_of(level: Any) -> Severity:
    """Return the severity for a client's level, which may be a name or a number. Unknown levels count as errors."""
    if type(level) is str:
        known = _LEVELS.get(level) or _LEVELS.get(level.strip().lower())
        if known:
            return known
        level = int(level) if level.isascii() and level.isdigit() and len(level) < 4 else 40
    if isinstance(level, int | float) and not isinstance(level, bool):
        tens = (
            min(50, max(10, int(level) // 10 * 10)) if level == level and abs(level) < 1e9 else 40
        )
        return _LEVELS[_NUMBERED_LEVELS[tens]]
    return Severity.HIGH


class Normalizer:
    """A normalizer for one event, which changes the event in place and records the problems that it finds."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.event = event
        self.problems: list[dict[str, Any]] = []

    def record_problem(self, kind: str, name: str) -> None:
        if len(self.problems) < 50:
            self.problems.append({"type": kind, "name": name})

    def run(self) -> dict[str, Any]:
        event = self.event
        given_notes = event.get("errors")
        if type(given_notes) is list:
            self.problems += [note for note in given_notes if isinstance(note, dict)][:50]
        else:
            event.pop("errors", None)
        for name in [name for name in event if name not in KEPT]:
            value = event.pop(name)
            alias = ALIASES.get(name)
            if alias and event.get(alias) is None:
                event[alias] = value
        for name in [name for name, value in event.items() if value is None]:
            del event[name]
        self._texts()
        self._logentry()
        for name in ("exception", "threads"):
            if name in event:
                self._values(name, self._exception)
        if "breadcrumbs" in event:
            self._values("breadcrumbs", _breadcrumb)
            crumbs = event.get("breadcrumbs")
            if crumbs and len(crumbs["values"]) > MAX_BREADCRUMBS:
                crumbs["values"] = crumbs["values"][-MAX_BREADCRUMBS:]
                self.record_problem("trimmed", "breadcrumbs")
        if "stacktrace" in event:
            self._stacktrace(event, "stacktrace")
        self._tags()
        for name in ("user", "contexts", "extra", "modules", "sdk", "debug_meta", "csp", "request"):
            if name in event and not isinstance(event[name], dict):
                self.record_problem("invalid", name)
                del event[name]
        if "request" in event:
            self._request(event["request"])
        fingerprint = event.get("fingerprint")
        if fingerprint is not None and type(fingerprint) is not list:
            event["fingerprint"] = [fingerprint] if isinstance(fingerprint, str | int) else []
        if self.problems:
            event["errors"] = self.problems
        return event

    def _texts(self) -> None:
        event = self.event
        for name in (
            "platform", "logger", "transaction", "server_name", "release", "dist", "environment", "culprit", "type",
        ):  # fmt: skip
            value = event.get(name)
            if value is None:
                continue
            if type(value) is not str:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    self.record_problem("invalid", name)
                    del event[name]
                    continue
                value = event[name] = str(value)
            if len(value) > MAX_NAME_LENGTH:
                event[name] = value[:MAX_NAME_LENGTH]
                self.record_problem("trimmed", name)

    def _long_text(self, holder: dict[str, Any], name: str, path: str) -> None:
        value = holder.get(name)
        if value is None:
            return
        if type(value) is not str:
            value = holder[name] = _as_text(value)
        if len(value) > MAX_MESSAGE_LENGTH:
            holder[name] = value[:MAX_MESSAGE_LENGTH] + "…"
            self.record_problem("trimmed", path)

    def _logentry(self) -> None:
        event = self.event
        message = event.pop("message", None)
        entry = event.get("logentry")
        if entry is None or entry == {}:
            entry = message
        if entry is None or entry == "":
            event.pop("logentry", None)
            return
        if type(entry) is not dict:
            entry = {"formatted": entry}
        if not entry.get("formatted") and not entry.get("message") and message:
            entry["formatted"] = message
        self._long_text(entry, "message", "logentry.message")
        if not entry.get("formatted") and entry.get("message"):
            entry["formatted"] = _formatted(entry["message"], entry.get("params"))
        self._long_text(entry, "formatted", "logentry.formatted")
        event["logentry"] = entry

    def _values(self, name: str, each: Callable[[dict[str, Any]], None]) -> None:
        """Convert a member to `{"values": […]}`, and call `each` with each of its objects.

        SDKs send this form, a list, or a single object. Other values are dropped, and a member without objects is
        removed.
        """
        given = self.event[name]
        if type(given) is dict and "values" in given:
            given = given["values"]
        if type(given) is dict:
            given = [given]
        if type(given) is not list:
            if given is not None:
                self.record_problem("invalid", name)
            del self.event[name]
            return
        values = [value for value in given if type(value) is dict]
        if len(values) < len(given) - given.count(None):
            self.record_problem("invalid", name)
        if not values:
            del self.event[name]
            return
        for value in values:
            each(value)
        self.event[name] = {"values": values}

    def _exception(self, value: dict[str, Any]) -> None:
        for name in ("type", "module"):
            text = value.get(name)
            if text is not None and type(text) is not str:
                value[name] = _as_text(text)[:MAX_NAME_LENGTH]
        self._long_text(value, "value", "exception.value")
        if type(value.get("mechanism")) is not dict:
            value.pop("mechanism", None)
        if "stacktrace" in value:
            self._stacktrace(value, "stacktrace")
        value.pop("raw_stacktrace", None)
        # The order of the members is fixed, because the frame cache does not keep the client's order.
        for name in EXCEPTION_MEMBERS:
            if name in value:
                value[name] = value.pop(name)

    def _stacktrace(self, holder: dict[str, Any], name: str) -> None:
        stacktrace = holder[name]
        frames = stacktrace.get("frames") if type(stacktrace) is dict else None
        if isinstance(frames, Scrubbed):
            return  # The frame cache has already normalized these frames.
        if type(frames) is not list:
            if stacktrace is not None and frames is not None:
                self.record_problem("invalid", name)
            del holder[name]
            return
        frames = [frame for frame in frames if type(frame) is dict]
        if len(frames) > MAX_FRAMES:
            half = MAX_FRAMES // 2
            frames = [*frames[:half], *frames[-half:]]
            stacktrace["frames_omitted"] = True
            self.record_problem("trimmed", "frames")
        for frame in frames:
            self.frame(frame)
        stacktrace["frames"] = frames

    @staticmethod
    def frame(frame: dict[str, Any]) -> dict[str, Any]:
        for key in ("filename", "abs_path", "module", "function", "context_line", "platform"):
            value = frame.get(key)
            if value is not None and (type(value) is not str or len(value) > MAX_NAME_LENGTH):
                frame[key] = _as_text(value)[:MAX_NAME_LENGTH]
        for key in ("pre_context", "post_context"):
            lines = frame.get(key)
            if lines is not None and type(lines) is not list:
                del frame[key]
        variables = frame.pop("vars", None)
        if type(variables) is list:
            variables = {str(n): item for n, item in enumerate(variables)}
        number = frame.get("lineno")
        if number is not None and type(number) is not int:
            frame["lineno"] = int(number) if _is_digits(number) else None
        if type(variables) is dict:
            # `vars` is the last member, because the frame cache adds the locals to a cached frame.
            frame["vars"] = variables
        return frame

    def _tags(self) -> None:
        given = self.event.get("tags")
        if given is None:
            return
        pairs = list(given.items()) if type(given) is dict else self._listed_tags(given)
        tags: dict[str, str] = {}
        for key, value in pairs[:MAX_TAGS]:
            if value is None or not key:
                continue
            text = value if type(value) is str else _as_text(value)
            tags[key[:MAX_TAG_LENGTH]] = (
                text if len(text) <= MAX_TAG_LENGTH else text[:MAX_TAG_LENGTH]
            )
        if len(pairs) > MAX_TAGS:
            self.record_problem("trimmed", "tags")
        self.event["tags"] = tags

    def _listed_tags(self, given: Any) -> list[tuple[str, Any]]:
        """Return tags from a list of pairs, or from a list of objects, which old SDKs send."""
        if type(given) is not list:
            self.record_problem("invalid", "tags")
            return []
        pairs = []
        for pair in given:
            if type(pair) is list and len(pair) == 2:
                pairs.append((_as_text(pair[0]), pair[1]))
            elif type(pair) is dict and "key" in pair:
                pairs.append((_as_text(pair["key"]), pair.get("value")))
            elif pair is not None:
                self.record_problem("invalid", "tags")
        return pairs

    def _request(self, request: dict[str, Any]) -> None:
        for name in ("headers", "env", "cookies"):
            value = request.get(name)
            if value is not None and type(value) is not dict:
                if type(value) is list:
                    request[name] = {
                        _as_text(pair[0]): _as_text(pair[1])
                        for pair in value
                        if type(pair) is list and len(pair) == 2
                    }
                elif name == "cookies" and type(value) is str:
                    continue
                else:
                    self.record_problem("invalid", f"request.{name}")
                    del request[name]
        for name in ("url", "method", "fragment"):
            value = request.get(name)
            if value is not None and type(value) is not str:
                request[name] = _as_text(value)[:MAX_MESSAGE_LENGTH]
        query = request.get("query_string")
        if type(query) is str and query:
            # The scrubber recognizes field names only in pairs.
            with contextlib.suppress(ValueError):
                request["query_string"] = _pairs(query.removeprefix("?")) or query
        elif type(query) is dict:
            request["query_string"] = [[key, item] for key, item in query.items()]
        data = request.get("data")
        if data is not None and type(data) is str and len(data) > MAX_MESSAGE_LENGTH:
            request["data"] = data[:MAX_MESSAGE_LENGTH] + "…"
            self.record_problem("trimmed", "request.data")


_MAX_PAIRS = 200


def _pairs(query: str) -> list[list[str]]:
    """Parse a query string. Raises ValueError if it has too many pairs.

    A query without encoded characters takes a fast path that avoids parse_qsl.
    """
    if "%" in query or "+" in query or query.count("&") >= _MAX_PAIRS:
        return [list(pair) for pair in parse_qsl(query, True, max_num_fields=_MAX_PAIRS)]
    return [pair.split("=", 1) if "=" in pair else [pair, ""] for pair in query.split("&") if pair]


def _breadcrumb(crumb: dict[str, Any]) -> None:
    for name in ("message", "category", "level", "type"):
        value = crumb.get(name)
        if value is not None and type(value) is not str:
            crumb[name] = _as_text(value)
    data = crumb.get("data")
    if data is not None and type(data) is not dict:
        crumb["data"] = {"value": data}


def _is_digits(value: Any) -> bool:
    return type(value) is str and value.isascii() and value.isdigit() and len(value) < 10


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return str(value).lower()
    return str(value)[: MAX_MESSAGE_LENGTH + 1]


_HUGE_WIDTH = re.compile(r"%[^a-zA-Z%]{0,100}(?:\d{4}|\*)")


def _formatted(template: str, params: Any) -> str:
    """Format the template with `%` or, if that fails, by replacing `{}`. If neither works, return it unchanged."""
    # A template such as "%999999999s" is not formatted, because the result would exhaust the memory.
    if not params or _HUGE_WIDTH.search(template):
        return template
    try:
        if type(params) is list:
            return template % tuple(params)
        if type(params) is dict:
            return template % params
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError):
        pass
    text = template
    for item in params.values() if type(params) is dict else params if type(params) is list else ():
        text = text.replace("{}", _as_text(item), 1)
    return text
