"""Receive Sentry envelopes. An envelope can contain an event and other items, such as check-ins and transactions."""

import logging
from collections.abc import Sequence
from typing import Any

from errors.event import envelope_format, json_codec, timestamps
from errors.event.build import event_id_of
from errors.exceptions import Refused, Unreadable
from errors.extension_points import ReceivedItem
from errors.extension_points import envelope_items as items
from errors.ingest import credentials
from errors.ingest.authentication import Project, release_connection
from errors.ingest.request import EventBuilder, IngestRequest, Parsed
from errors.ingest.responses import accepted, refused
from errors.models import Discarded
from errors.services import discarded

log = logging.getLogger(__name__)

_EVENT_TYPES = ("event", "error", "default")


def parse_envelope(request: IngestRequest, project_id: int | None) -> Parsed:
    """Parse an envelope. At the tunnel endpoint, `project_id` is None, because only the envelope's DSN has the id."""
    parsed = envelope_format.parse(request.decompressed_body())
    project = _authenticate_by_dsn(request, project_id, parsed.header.get("dsn"))
    event_id = event_id_of(parsed.header.get("event_id"))
    event = _first_event(project, parsed)
    others = _other_items(request, project, parsed, event_id)
    if event is None:
        if parsed.fault and not parsed.items:
            raise Unreadable(parsed.fault)
        if not any(item.type for item in parsed.items):
            event_id = ""
        return Parsed(accepted(event_id), items=others)
    builder = EventBuilder(request, project)
    sent_at = timestamps.parse(parsed.header.get("sent_at"))
    try:
        event_id = builder.add_counted_json(event.payload, event_id=event_id, sent_at=sent_at)
    # The quota limits only errors, so other items, such as check-ins, are still handled.
    except Refused as refusal:
        return Parsed(refused(refusal.status, refusal.detail, *refusal.headers), items=others)
    return Parsed(accepted(event_id), builder.events, others)


def _authenticate_by_dsn(request: IngestRequest, project_id: int | None, given: Any) -> Project:
    """Return the project of an envelope whose key is in the request, in the envelope's DSN, or in both.

    `project_id` comes from the URL, or is None if only the DSN names the project. Raises Refused if the DSN contradicts
    the URL, or is missing although only it could name the project, and the exceptions of IngestRequest.authenticate.
    """
    dsn = credentials.of_dsn(given)
    if project_id is None:
        if dsn is None:
            raise Refused(401, "the envelope's header has no readable dsn")
        return request.authenticate(dsn[1], [dsn[0]])
    if dsn is not None and dsn[1] != project_id:
        raise Refused(400, "the envelope's dsn belongs to another project")
    keys = credentials.keys(request.environ)
    if dsn is not None and dsn[0] not in keys:
        return request.authenticate(project_id, [*keys, dsn[0]])
    return request.authenticated(project_id, keys)


def _first_event(project: Project, parsed: envelope_format.Envelope) -> envelope_format.Item | None:
    events = [item for item in parsed.items if item.type in _EVENT_TYPES]
    if len(events) > 1:
        source = Discarded.Source.PORTAL
        discarded.count(project.app_id, source, "event", "several", len(events) - 1)
    return events[0] if events else None


def _other_items(
    request: IngestRequest, project: Project, parsed: envelope_format.Envelope, event_id: str
) -> list[ReceivedItem]:
    """Return the items that have a handler and are not events. Count unsupported and too large items as discarded."""
    found = []
    for item in parsed.items:
        if item.type in _EVENT_TYPES:
            continue
        is_container = str(item.header.get("content_type", "")).startswith(
            "application/vnd.sentry.items"
        )
        if item.type not in items or items.get(item.type).is_container != is_container:
            kind = item.type or "(none)"
            discarded.count(project.app_id, Discarded.Source.PORTAL, kind, "unsupported")
        elif len(item.payload) > items.get(item.type).limit:
            discarded.count(project.app_id, Discarded.Source.INVALID, item.type, "too large")
        else:
            try:
                payload = json_codec.decode(item.payload)
            except Unreadable:
                payload = None
            found.append(
                ReceivedItem(
                    project, item.type, payload, parsed.header, event_id, request.received_at
                )
            )
    return found


def handle_items(received: Sequence[ReceivedItem]) -> None:
    """Pass each item to the handler of its type. An item that the handler rejects is counted as discarded."""
    for item in received:
        try:
            items.get(item.type).handle(item)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            log.info("item rejected", extra={"kind": item.type, "error": str(error)[:200]})
            discarded.count(item.project.app_id, Discarded.Source.INVALID, item.type, "unreadable")
        finally:
            release_connection()
