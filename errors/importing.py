"""Events out of files: envelopes, or event JSON as Bugsink and Sentry export it (one object, a list, or one a line)."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeGuard

from errors.intake import envelope, jsons, moments
from errors.intake.accept import Circumstances, accept, event_id_of
from errors.intake.body import LIMIT_OUT, Unreadable, unpack
from errors.new_event import NewEvent
from opsportal.clients.models import ClientApp
from opsportal.lib.scrub import scrubber


def files_in(paths: list[Path]) -> list[Path]:
    """The files named, and those inside the folders named, in a steady order."""
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found


def events_in(path: Path) -> Iterator[dict[str, Any]]:
    """Raises Unreadable when nothing in the file is an event."""
    body = path.read_bytes()
    if body[:2] == b"\x1f\x8b":
        body = unpack(body, "gzip", LIMIT_OUT)
    found = list(_whole(body)) or list(_from_envelope(body)) or list(_from_lines(body))
    if not found:
        raise Unreadable("no event in this file")
    yield from found


def _whole(body: bytes) -> Iterator[dict[str, Any]]:
    try:
        value = jsons.decode(body)
    except Unreadable:
        return
    for one in value if isinstance(value, list) else [value]:
        if _is_event(one):
            yield one


def _from_envelope(body: bytes) -> Iterator[dict[str, Any]]:
    try:
        parsed = envelope.parse(body)
    except Unreadable:
        return
    for item in parsed.items:
        if item.type == "event":
            event = jsons.decode(item.payload)
            if isinstance(event, dict):
                event.setdefault("event_id", parsed.header.get("event_id"))
                yield event


def _from_lines(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        try:
            value = jsons.decode(line) if line.strip() else None
        except Unreadable:
            continue
        if _is_event(value):
            yield value


def _is_event(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and any(
        name in value for name in ("exception", "message", "logentry", "level", "stacktrace")
    )


def new_event(raw: dict[str, Any], *, app: ClientApp, now: datetime) -> NewEvent:
    """Dated as it happened. Without an id of its own it gets one of its content, so that importing twice stores once."""
    given = event_id_of(raw.get("event_id") or raw.get("id"))
    content = blake2b(jsons.encode(raw), digest_size=16).digest()
    occurred_at = moments.parse(raw.get("timestamp") or raw.get("dateCreated"))
    at = min(occurred_at, now) if occurred_at else now
    return accept(
        raw,
        app_id=app.pk,
        scrubber=scrubber(frozenset(app.scrub_keys), frozenset(app.safe_keys)),
        around=Circumstances(
            received_at=max(at, datetime(2000, 1, 1, tzinfo=UTC)),
            event_id=given or uuid.UUID(bytes=content).hex,
        ),
    )
