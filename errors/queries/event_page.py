"""Prepare a stored payload for the event page. Values of any type are accepted anywhere in the payload."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

MAX_TEXT_LENGTH = 20_000  # Longer values are shortened on the page, but not in the raw JSON.
# A sequence of at least this many library frames is collapsed into one line.
FOLD_AFTER = 3
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Line:
    number: int
    text: str
    is_current: bool = False


@dataclass(frozen=True)
class Frame:
    place: str  # Names the file or, if it is unknown, the module or package.
    function: str
    line: int | None
    column: int | None
    in_app: bool
    lines: list[Line]
    variables: Pairs
    is_open: bool = False

    @property
    def has_more(self) -> bool:
        return bool(self.lines or self.variables)


@dataclass(frozen=True)
class Run:
    """A sequence of consecutive frames, either all of the app or all of libraries.

    If no frame is of the app, the newest frame is treated as one of the app.
    """

    frames: list[Frame]
    in_app: bool

    @property
    def is_folded(self) -> bool:
        return not self.in_app and len(self.frames) >= FOLD_AFTER


@dataclass(frozen=True)
class ExceptionDetail:
    """One exception of the chain. Its newest frame comes first."""

    type: str
    value: str
    module: str
    mechanism: str
    is_handled: bool | None
    runs: list[Run]


@dataclass(frozen=True)
class Breadcrumb:
    at: datetime | None
    category: str
    level: str
    message: str
    data: Pairs

    @property
    def tone(self) -> str:
        if self.level in ("error", "fatal"):
            return "critical"
        return "warning" if self.level == "warning" else ""


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    query: str
    body: str
    headers: Pairs
    cookies: Pairs
    environment: Pairs


@dataclass(frozen=True)
class EventPage:
    message: str
    chain: list[ExceptionDetail]  # The exception in the title comes first, followed by its causes.
    breadcrumbs: list[Breadcrumb]
    request: Request | None
    user: Pairs
    tags: Pairs
    contexts: list[tuple[str, Pairs]]
    extra: Pairs
    packages: Pairs
    sdk: str
    notes: list[str]  # Describe values that were shortened, filtered or invalid.


def describe(payload: Mapping[str, object]) -> EventPage:
    return EventPage(
        message=_message(payload),
        chain=_chain(payload),
        breadcrumbs=[_breadcrumb(one) for one in _values(payload.get("breadcrumbs"))],
        request=_request(_dict(payload.get("request"))),
        user=pairs(payload.get("user")),
        tags=pairs(payload.get("tags")),
        contexts=[
            (name, shown)
            for name, value in _dict(payload.get("contexts")).items()
            if (shown := [pair for pair in pairs(value) if pair[0] != "type"])
        ],
        extra=pairs(payload.get("extra")),
        packages=sorted(pairs(payload.get("modules"))),
        sdk=" ".join(
            text(_dict(payload.get("sdk")).get(key))
            for key in ("name", "version")
            if _dict(payload.get("sdk")).get(key)
        ),
        notes=[_note(one) for one in _values(payload.get("errors"))],
    )


def text(value: object) -> str:
    """Return a value as text of at most about MAX_TEXT_LENGTH: strings unchanged, None as "", other values as JSON."""
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, indent=2, default=str)
        except (ValueError, RecursionError):
            value = str(value)
    return value if len(value) <= MAX_TEXT_LENGTH else value[:MAX_TEXT_LENGTH] + " …"


def pairs(value: object) -> Pairs:
    """Return a mapping, or a list of two-element lists, as (name, text) pairs without empty values.

    Any other value becomes a single pair without a name, or [] if it is empty.
    """
    items: Iterable[tuple[object, object]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = [(one[0], one[1]) for one in value if isinstance(one, list) and len(one) == 2]
    else:
        return [("", text(value))] if value else []
    return [(str(name), text(one)) for name, one in items if one not in (None, "", [], {})]


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _values(value: object) -> list[Mapping[str, object]]:
    """Return the mappings in a list, or in the list under `values`."""
    found = _dict(value).get("values") if isinstance(value, Mapping) else value
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _message(payload: Mapping[str, object]) -> str:
    entry = _dict(payload.get("logentry"))
    return text(entry.get("formatted") or entry.get("message") or payload.get("message"))


def _chain(payload: Mapping[str, object]) -> list[ExceptionDetail]:
    exceptions = _values(payload.get("exception"))
    if not exceptions and isinstance(one := payload.get("exception"), Mapping) and "type" in one:
        exceptions = [one]
    # An event without exceptions may have a stack trace with its message, or a thread that crashed.
    if not exceptions:
        threads = _values(payload.get("threads"))
        crashed = [one for one in threads if one.get("crashed") or one.get("current")] or threads
        for holder in (payload, *crashed[:1]):
            if runs := _runs(holder.get("stacktrace")):
                return [ExceptionDetail("", "", "", "", None, runs)]
        return []
    return [_exception(one) for one in reversed(exceptions)]


def _exception(exception: Mapping[str, object]) -> ExceptionDetail:
    mechanism = _dict(exception.get("mechanism"))
    handled = mechanism.get("handled")
    return ExceptionDetail(
        type=text(exception.get("type")),
        value=text(exception.get("value")),
        module=text(exception.get("module")),
        mechanism=text(mechanism.get("type")),
        is_handled=handled if isinstance(handled, bool) else None,
        runs=_runs(exception.get("stacktrace")),
    )


def _runs(stacktrace: object) -> list[Run]:
    raw = _dict(stacktrace).get("frames")
    found = [one for one in raw if isinstance(one, Mapping)] if isinstance(raw, list) else []
    found.reverse()
    any_in_app = any(one.get("in_app") is True for one in found)
    frames = [
        _frame(one, is_open=one.get("in_app") is True if any_in_app else place == 0)
        for place, one in enumerate(found)
    ]
    return [
        Run(list(together), in_app)
        for in_app, together in groupby(frames, lambda frame: frame.in_app or frame.is_open)
    ]


def _frame(frame: Mapping[str, object], *, is_open: bool) -> Frame:
    return Frame(
        place=text(
            frame.get("filename")
            or frame.get("abs_path")
            or frame.get("module")
            or frame.get("package")
            or "unknown file"
        ),
        function=text(frame.get("function") or frame.get("raw_function")),
        line=_number(frame.get("lineno")),
        column=_number(frame.get("colno")),
        in_app=frame.get("in_app") is True,
        lines=_lines(frame),
        variables=pairs(frame.get("vars")),
        is_open=is_open,
    )


def _lines(frame: Mapping[str, object]) -> list[Line]:
    current, number = frame.get("context_line"), _number(frame.get("lineno"))
    if not isinstance(current, str) or number is None:
        return []
    before, after = (_strings(frame.get(key)) for key in ("pre_context", "post_context"))
    return [
        *(Line(number - len(before) + place, one) for place, one in enumerate(before)),
        Line(number, current, is_current=True),
        *(Line(number + 1 + place, one) for place, one in enumerate(after)),
    ]


def _strings(value: object) -> list[str]:
    return [text(one) for one in value] if isinstance(value, list) else []


def _breadcrumb(crumb: Mapping[str, object]) -> Breadcrumb:
    return Breadcrumb(
        at=_timestamp(crumb.get("timestamp")),
        category=text(crumb.get("category") or crumb.get("type")),
        level=text(crumb.get("level")),
        message=text(crumb.get("message")),
        data=pairs(crumb.get("data")),
    )


def _timestamp(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            timestamp = datetime.fromisoformat(value)
            return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _request(request: Mapping[str, object]) -> Request | None:
    if not request:
        return None
    query = request.get("query_string")
    return Request(
        method=text(request.get("method")),
        url=text(request.get("url")),
        query=query
        if isinstance(query, str)
        else "&".join("=".join(pair) for pair in pairs(query)),
        body=text(request.get("data")),
        headers=pairs(request.get("headers")),
        cookies=pairs(request.get("cookies")),
        environment=pairs(request.get("env")),
    )


def _note(note: Mapping[str, object]) -> str:
    """Return the text of one entry in the payload's `errors` list."""
    what = text(note.get("type") or note.get("reason") or "changed").replace("_", " ")
    where = text(note.get("name") or note.get("path") or note.get("field"))
    return f"{where}: {what}" if where else what
