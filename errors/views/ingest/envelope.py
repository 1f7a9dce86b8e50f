"""Sentry's envelopes: an event, and other items with a place to go (check-ins, sessions, transactions, feedback …)."""

import logging
from collections.abc import Sequence
from typing import Any

from errors import discarded
from errors.door import Guest, release_connection
from errors.intake import credentials, envelope, jsons, moments
from errors.intake.accept import event_id_of
from errors.intake.body import Unreadable
from errors.items import Received
from errors.items import registry as items
from errors.models import Discarded
from errors.new_event import NewEvent
from errors.views.ingest.answers import accepted
from errors.views.ingest.call import Call, Receiving, Refused

log = logging.getLogger(__name__)


def receive_envelope(call: Call, project_id: int | None) -> Receiving:
    keys = credentials.keys(call.environ)
    if keys and project_id is not None:
        call.admit(project_id, keys)  # before any work on the body
    others: list[Received] = []
    event_id = ""

    def read_events(raw: bytes) -> Sequence[NewEvent]:
        nonlocal event_id
        parsed = envelope.parse(call.unpack(raw))
        guest = _admit_by_dsn(call, project_id, keys, parsed.header.get("dsn"))
        event_id = event_id_of(parsed.header.get("event_id"))
        event = _event_among(guest, parsed)
        others.extend(_others_among(call, guest, parsed, event_id))
        if event is None:
            if parsed.fault and not parsed.items:
                raise Unreadable(parsed.fault)
            if not any(item.type for item in parsed.items):
                event_id = ""
            return ()
        call.check_quotas(guest)
        sent_at = moments.parse(parsed.header.get("sent_at"))
        packed = call.take(guest, event.payload, call.circumstances(event_id, sent_at))
        event_id = packed.event_id
        return [packed]

    try:
        yield call.to_store(read_events, others)
    except Refused as refusal:
        if refusal.status == 429:  # a quota of errors is no reason to lose a check-in
            _hand_on(others)
        raise
    _hand_on(others)
    return accepted(event_id)


def _admit_by_dsn(call: Call, project_id: int | None, keys: list[str], given: Any) -> Guest:
    """The envelope's own dsn may be the only key, and must not contradict the address."""
    dsn = credentials.of_dsn(given)
    if project_id is None:
        if dsn is None:
            raise Refused(401, "the envelope's header has no readable dsn")
        return call.admit(dsn[1], [dsn[0]])
    if dsn is not None and dsn[1] != project_id:
        raise Refused(400, "the envelope's dsn is another project's")
    if dsn is not None and dsn[0] not in keys:
        return call.admit(project_id, [*keys, dsn[0]])
    return call.guest or call.admit(project_id, keys)


_EVENTS = ("event", "error", "default")


def _event_among(guest: Guest, parsed: envelope.Envelope) -> envelope.Item | None:
    events = [item for item in parsed.items if item.type in _EVENTS]
    if len(events) > 1:
        discarded.count(guest.app_id, Discarded.Source.PORTAL, "event", "several", len(events) - 1)
    return events[0] if events else None


def _others_among(
    call: Call, guest: Guest, parsed: envelope.Envelope, event_id: str
) -> list[Received]:
    """The items that are no events but have a place to go. None of them is a reason to refuse the envelope."""
    found = []
    for item in parsed.items:
        if item.type in _EVENTS:
            continue
        is_container = str(item.header.get("content_type", "")).startswith(
            "application/vnd.sentry.items"
        )
        if item.type not in items or items.get(item.type).is_container != is_container:
            kind = item.type or "(none)"
            discarded.count(guest.app_id, Discarded.Source.PORTAL, kind, "unsupported")
        elif len(item.payload) > items.get(item.type).limit:
            discarded.count(guest.app_id, Discarded.Source.INVALID, item.type, "too large")
        else:
            try:
                payload = jsons.decode(item.payload)
            except Unreadable:
                payload = None
            found.append(Received(guest, item.type, payload, parsed.header, event_id, call.now))
    return found


def _hand_on(others: list[Received]) -> None:
    for received in others:
        try:
            items.get(received.type).handle(received)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            log.info("item not taken", extra={"kind": received.type, "error": str(error)[:200]})
            discarded.count(
                received.guest.app_id, Discarded.Source.INVALID, received.type, "unreadable"
            )
        finally:
            release_connection()
