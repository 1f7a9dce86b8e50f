"""Read events from files: envelopes, or event JSON of Bugsink or Sentry (an object, a list, or one object per line)."""

import gzip
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TypeGuard

from core.clients.models import ClientApp
from core.lib.scrub import scrubber
from errors.event import envelope_format, json_codec, timestamps
from errors.event.body import MAX_DECOMPRESSED_BYTES
from errors.event.build import IngestContext, build_event, event_id_of
from errors.event.new_event import NewEvent
from errors.exceptions import Unreadable


def files_in(paths: list[Path]) -> list[Path]:
    """Return the given files, and all files in the given folders and their subfolders, in a stable order."""
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found


class EventFile:
    """An iterable over the events of a file. `position` is the number of bytes that have been read.

    A file with one event per line may have any size. An envelope, or a file with a single JSON document, must not
    exceed MAX_DECOMPRESSED_BYTES.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.position = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the events. Raises Unreadable if the file contains none, or if a part of it cannot be decoded."""
        found = False
        with self.path.open("rb") as raw:
            is_gzip = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.GzipFile(fileobj=raw) if is_gzip else raw as stream:
                try:
                    for event in self._events(stream):
                        found = True
                        self.position = raw.tell()
                        yield event
                except (EOFError, zlib.error) as error:
                    raise Unreadable(f"the file is not readable as gzip: {error}") from None
        self.position = self.size
        if not found:
            raise Unreadable("the file contains no event")

    def _events(self, stream: BufferedIOBase) -> Iterator[dict[str, Any]]:
        start = stream.read(MAX_DECOMPRESSED_BYTES + 1)
        if len(start) <= MAX_DECOMPRESSED_BYTES:
            yield from list(_whole(start)) or list(_from_envelope(start)) or _from_lines(start)
            return
        stream.seek(0)
        while line := stream.readline(MAX_DECOMPRESSED_BYTES):
            yield from _from_lines(line)


def _whole(body: bytes) -> Iterator[dict[str, Any]]:
    try:
        value = json_codec.decode(body)
    except Unreadable:
        return
    for one in value if isinstance(value, list) else [value]:
        if _is_event(one):
            yield _as_sent(one)


def _from_envelope(body: bytes) -> Iterator[dict[str, Any]]:
    try:
        parsed = envelope_format.parse(body)
    except Unreadable:
        return
    for item in parsed.items:
        if item.type == "event":
            event = json_codec.decode(item.payload)
            if isinstance(event, dict):
                event.setdefault("event_id", parsed.header.get("event_id"))
                yield event


def _from_lines(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        try:
            value = json_codec.decode(line) if line.strip() else None
        except Unreadable:
            continue
        if _is_event(value):
            yield _as_sent(value)


_MEMBERS = ("exception", "message", "logentry", "level", "stacktrace", "entries")
_ENTRIES = {"message": "logentry"}


def _is_event(value: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(value, dict)
        and value.get("type") != "transaction"
        and any(name in value for name in _MEMBERS)
    )


def _as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """Convert an event from Sentry's API, which lists its parts as `entries`, to the format that SDKs send."""
    entries = event.pop("entries", None)
    for entry in entries if isinstance(entries, list) else ():
        kind = entry.get("type") if isinstance(entry, dict) else None
        if isinstance(kind, str):
            name = _ENTRIES.get(kind, kind)
            if not event.get(name):
                event[name] = _as_sdk_spells(entry.get("data"))
    request = event.get("request")
    if isinstance(request, dict) and "query" in request:
        request["query_string"] = request.pop("query")
    for theirs, ours in (("eventID", "event_id"), ("dateCreated", "timestamp"), ("id", "event_id")):
        if theirs in event and not event.get(ours):
            event[ours] = event[theirs]
    release = event.get("release")
    if isinstance(release, dict):
        event["release"] = release.get("version")
    return event


_FRAME_NAMES = {
    "absPath": "abs_path", "lineNo": "lineno", "colNo": "colno", "inApp": "in_app", "rawStacktrace": "raw_stacktrace",
    "threadId": "thread_id",
}  # fmt: skip


def _as_sdk_spells(value: Any) -> Any:
    """Rename members from the API's names to those of SDKs, and split `context` into the context lines of a frame."""
    if isinstance(value, list):
        return [_as_sdk_spells(one) for one in value]
    if not isinstance(value, dict):
        return value
    renamed = {_FRAME_NAMES.get(name, name): _as_sdk_spells(one) for name, one in value.items()}
    lines, number = renamed.get("context"), renamed.get("lineno")
    if isinstance(lines, list) and isinstance(number, int):
        pairs = [p for p in lines if isinstance(p, list) and len(p) == 2 and isinstance(p[0], int)]
        renamed["pre_context"] = [line for at, line in pairs if at < number]
        renamed["context_line"] = next((line for at, line in pairs if at == number), None)
        renamed["post_context"] = [line for at, line in pairs if at > number]
        del renamed["context"]
    return renamed


def new_event(raw: dict[str, Any], *, app: ClientApp, now: datetime) -> NewEvent:
    """Build an event whose time of receipt is the time at which it occurred, or `now` if that is unknown or later.

    The time of receipt is never before the year 2000. An event without an id gets one that is derived from its content,
    so that a repeated import stores it once.
    """
    given = event_id_of(raw.get("event_id"))
    content = blake2b(json_codec.encode(raw), digest_size=16).digest()
    occurred_at = timestamps.parse(raw.get("timestamp"))
    at = min(occurred_at, now) if occurred_at else now
    return build_event(
        raw,
        app_id=app.pk,
        scrubber=scrubber(frozenset(app.scrub_keys), frozenset(app.safe_keys)),
        context=IngestContext(
            received_at=max(at, datetime(2000, 1, 1, tzinfo=UTC)),
            event_id=given or uuid.UUID(bytes=content).hex,
        ),
    )
