"""Convert clients' log records into scrubbed log entries of limited size, without using the database."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from core.clients.models import ClientApp
from core.lib.scrub import FILTERED, Scrubber
from errors.event import business_refs, json_codec, timestamps
from errors.event.build import release_of
from logs.models import Kind, Level, LogEntry

MAX_BODY_LENGTH = 8 * 1024
MAX_ATTRIBUTES = 100
MAX_NAME_LENGTH = 200
MAX_VALUE_LENGTH = 2 * 1024
MAX_ATTRIBUTES_BYTES = 16 * 1024
TOO_LARGE = "[too large]"
MAX_AHEAD = timedelta(minutes=1)

_LEVELS = {"warning": Level.WARN, "critical": Level.FATAL, "log": Level.INFO}
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
# These attributes are dropped, because columns of LogEntry store their values.
_WITH_A_COLUMN = frozenset((
    "sentry.release", "sentry.environment", "sentry.severity_number", "sentry.severity_text",
    "sentry.trace.parent_span_id",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """A log record that was read from a wire format and has not been scrubbed yet."""

    level: Level
    body: str
    at: datetime | None = None  # None means the time of receipt.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""
    span_id: str = ""
    environment: str = ""
    release: str = ""
    kind: Kind = Kind.LOG


def level_of(text: Any, number: Any = None) -> Level:
    """Return the level with this name or, if the name is unknown, with OpenTelemetry's severity number (1 to 24).

    If both are unknown, return INFO.
    """
    name = str(text or "").strip().lower()
    if name in Level.values:
        return Level(name)
    if name in _LEVELS:
        return _LEVELS[name]
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 24:
        return list(Level)[(number - 1) // 4]
    return Level.INFO


def read_sentry_item(given: Any) -> Record:
    """Convert one log record from a Sentry SDK. Raises ValueError if it is not an object or has no text."""
    if not isinstance(given, dict):
        raise ValueError("not an object")
    body = given.get("body")
    if not isinstance(body, str) or not body.strip():
        raise ValueError("no text")
    listed = given.get("attributes")
    typed = listed if isinstance(listed, dict) else {}
    values = {
        str(name): one.get("value") if isinstance(one, dict) else one for name, one in typed.items()
    }
    return Record(
        level=level_of(given.get("level"), given.get("severity_number")),
        body=body,
        at=timestamps.parse(given.get("timestamp")),
        attributes={name: one for name, one in values.items() if name not in _WITH_A_COLUMN},
        trace_id=str(given.get("trace_id") or ""),
        span_id=str(given.get("span_id") or values.get("sentry.trace.parent_span_id") or ""),
        environment=str(values.get("sentry.environment") or ""),
        release=str(values.get("sentry.release") or ""),
    )


def request_record(
    *,
    name: str,
    status_code: str,
    duration_ms: float,
    is_ok: bool,
    at: datetime | None,
    attributes: Mapping[str, Any],
    trace_id: str,
    span_id: str,
    environment: str,
    release: str,
) -> Record:
    """Return a log record that represents a request, so that pages show the request among the logs of its trace.

    `at` is the time at which the request began.
    """
    return Record(
        level=Level.INFO if is_ok else Level.ERROR,
        body=" ".join(part for part in (name, status_code, f"{duration_ms:,.1f} ms") if part),
        at=at,
        attributes={**attributes, "duration_ms": round(duration_ms, 3)},
        trace_id=trace_id,
        span_id=span_id,
        environment=environment,
        release=release,
        kind=Kind.REQUEST,
    )


def to_entry(
    record: Record, *, app: ClientApp, scrubber: Scrubber, now: datetime, max_age: timedelta
) -> tuple[LogEntry, datetime]:
    """Return a scrubbed, unsaved entry without an id, and the time that its id must encode.

    This is the record's own time or, if that is missing, older than `max_age` or too far in the future, `now`.
    """
    attributes = _scrubbed(record.attributes, scrubber)
    trace_id = record.trace_id.replace("-", "").lower()
    span_id = record.span_id.lower()
    entry = LogEntry(
        app=app,
        kind=record.kind,
        level=record.level,
        body=_cut(scrubber.text(_clean(record.body[: 2 * MAX_BODY_LENGTH])), MAX_BODY_LENGTH),
        attributes=attributes,
        attribute_words=" ".join(words_of_attributes(attributes)),
        trace_id=trace_id if _TRACE_ID.fullmatch(trace_id) and trace_id.strip("0") else "",
        span_id=span_id if _SPAN_ID.fullmatch(span_id) and span_id.strip("0") else "",
        request_id=_request_id(attributes),
        environment=scrubber.text(_clean(record.environment).strip())[:64],
        release=release_of(_clean(record.release))[:200],
    )
    at = record.at
    is_plausible = at is not None and now - max_age <= at <= now + MAX_AHEAD
    return entry, at if at is not None and is_plausible else now


def _request_id(attributes: Mapping[str, Any]) -> str:
    """Return the request id from an attribute such as `request_id` or `http.request.id`, or "" if there is none."""
    for name, value in attributes.items():
        is_request = business_refs.column_of(name.removeprefix("http.")) == "request_id"
        if is_request and isinstance(value, str | int) and FILTERED not in str(value):
            return str(value).strip()[: business_refs.MAX_LENGTH]
    return ""


def word_of_attribute(name: str, value: Any) -> str:
    """Return the word that represents an attribute in the search index: a case-insensitive hash of name and value."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    key = f"{name}\0{value}".lower()
    return "a" + blake2b(key.encode("utf-8", "replace"), digest_size=8).hexdigest()


def words_of_attributes(attributes: Mapping[str, Any]) -> list[str]:
    return [
        word_of_attribute(name, one)
        for name, value in attributes.items()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, str | int | float)
    ]


def _scrubbed(given: Mapping[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    """Scrub at most MAX_ATTRIBUTES attributes, and replace the largest values until MAX_ATTRIBUTES_BYTES suffice."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or len(kept) >= MAX_ATTRIBUTES:
            continue
        kept[_clean(str(name))[:MAX_NAME_LENGTH]] = _bounded(value)
    # Scrub before cutting, because the scrubber would not recognize a truncated secret.
    scrubbed: dict[str, Any] = scrubber.scrub(kept)
    scrubbed = {
        name: _cut(value, MAX_VALUE_LENGTH) if isinstance(value, str) else value
        for name, value in scrubbed.items()
    }
    sizes = {name: len(json_codec.encode(value)) for name, value in scrubbed.items()}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes.values()) <= MAX_ATTRIBUTES_BYTES:
            break
        scrubbed[name] = TOO_LARGE
        sizes[name] = len(TOO_LARGE)
    return scrubbed


def _bounded(value: Any, depth: int = 0) -> Any:
    """Convert a value to JSON types, limit its size and nesting, and remove NULs. NaN and infinity become strings."""
    if isinstance(value, str):
        return _clean(value[: 4 * MAX_VALUE_LENGTH])
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)[:MAX_NAME_LENGTH]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if depth >= 8:
        return TOO_LARGE
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[Any, Any]] = list(value.items())[:MAX_ATTRIBUTES]
        return {
            _clean(str(name))[:MAX_NAME_LENGTH]: _bounded(one, depth + 1) for name, one in pairs
        }
    if isinstance(value, list | tuple):
        return [_bounded(one, depth + 1) for one in value[:MAX_ATTRIBUTES]]
    return _clean(str(value))[:MAX_VALUE_LENGTH]


def _clean(text: str) -> str:
    """Remove NUL characters and replace lone surrogates, because not every database can store them."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 2] + " …"
