"""Build a NewEvent from a client's event: normalize it, scrub it, correct its time, group it and encode it."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.lib.customers import is_phone_number, pseudonym
from core.lib.scrub import Scrubber
from errors.event import business_refs, fingerprint, frame_cache, json_codec, locations, timestamps
from errors.event.filters import Filters
from errors.event.new_event import NewEvent
from errors.event.normalize import Normalizer, severity_of
from errors.event.titles import culprit_of, title_of
from errors.exceptions import Filtered, Unreadable

MAX_EVENT_BYTES = 1024 * 1024
MAX_EXTRA_BYTES = 256 * 1024
MAX_COUNTED_TAGS = 20
NO_FILTERS = Filters()
# Replaces `timestamp` during scrubbing, so that the scrubber cannot change the timestamp that the portal sets.
_PLACEHOLDER = 0
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_DEBUG_ID = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:-?[0-9a-f]{1,8})?", re.IGNORECASE
)
# Such versions are not scrubbed, because portal@1.2.0-rc.beta looks
# like an e-mail address, and 1.2.0.4 looks like an IP address.
_VERSION = re.compile(r"v?\d{1,9}(?:\.\d{1,9}){0,4}(?:[-+.][0-9A-Za-z.+-]{1,60})?")


@dataclass(slots=True, frozen=True)
class IngestContext:
    """Facts about an event that its payload does not contain."""

    received_at: datetime
    sent_at: datetime | None = None
    event_id: str = ""  # Comes from the envelope's header and overrides the id in the payload.
    client_address: str = ""
    filters: Filters = NO_FILTERS


def event_id_of(value: Any) -> str:
    """Return an event id as 32 hex digits without dashes, or "" if the value is not an event id."""
    if type(value) is not str:
        return ""
    text = value if len(value) == 32 else value.replace("-", "")
    if _HEX_ID.fullmatch(text):
        return text
    text = text.lower()
    return text if _HEX_ID.fullmatch(text) else ""


def user_key_of(user: Any, client_address: str) -> str:
    """Return the key under which to count the user: the id or user name, or a pseudonym if that is personal data.

    If both are missing, return a pseudonym of the e-mail or IP address. Return "" if these are missing too.
    """
    if type(user) is not dict:
        return ""
    for name in ("id", "username", "email", "ip_address"):
        value = user.get(name)
        if value is None or value == "" or isinstance(value, bool | dict | list):
            continue
        text = str(value)[: business_refs.MAX_LENGTH]
        if name == "ip_address":
            text = client_address if text == "{{auto}}" else text
            return pseudonym(text) if text else ""
        if name == "email" or is_phone_number(text) or Scrubber.text(text) != text:
            return pseudonym(text)
        return text
    return ""


def _hide_phone_number(event: dict[str, Any], user_key: str) -> None:
    """Replace a phone number in the user's id or username with `user_key`, which is never a phone number."""
    user = event.get("user")
    if type(user) is not dict:
        return
    for name in ("id", "username"):
        value = user.get(name)
        if type(value) is str and is_phone_number(value):
            user[name] = user_key


def release_of(value: Any) -> str:
    """Return the release as a string. Version numbers are kept; package names and everything else are scrubbed."""
    if not value:
        return ""
    text = str(value).strip()
    package, at, version = text.rpartition("@")
    if _VERSION.fullmatch(version):
        return Scrubber.text(package) + at + version
    return Scrubber.text(text)


def _trim_extra(event: dict[str, Any]) -> dict[str, Any] | None:
    """Replace the largest entries of `extra` until it fits into MAX_EXTRA_BYTES.

    Return a note for the event's `errors`, or None if nothing was replaced.
    """
    extra = event.get("extra")
    if not extra:
        return None
    sizes = {name: len(json_codec.encode(value)) for name, value in extra.items()}
    if sum(sizes.values()) <= MAX_EXTRA_BYTES:
        return None
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        extra[name] = "[too large]"
        sizes[name] = 0
        if sum(sizes.values()) <= MAX_EXTRA_BYTES:
            break
    return {"type": "trimmed", "name": "extra"}


def build_event_from_json(
    payload: bytes, *, app_id: int, scrubber: Scrubber, context: IngestContext
) -> NewEvent:
    """Build an event from its JSON. Raises Unreadable unless it is a JSON object, and Filtered as build_event does."""
    raw = frame_cache.decode(payload, scrubber)
    if not isinstance(raw, dict):
        raise Unreadable("the event is not a JSON object")
    return build_event(raw, app_id=app_id, scrubber=scrubber, context=context, size=len(payload))


def build_event(
    raw: dict[str, Any],
    *,
    app_id: int,
    scrubber: Scrubber,
    context: IngestContext,
    size: int = 0,
) -> NewEvent:
    """Build an event from a decoded JSON object. Invalid members are dropped and never cause a refusal.

    `size` is the length of the JSON in bytes, or 0 if unknown. Raises Filtered if one of the context's filters
    drops the event.
    """
    received_at = context.received_at
    normalizer = Normalizer(raw)
    event_id = context.event_id or event_id_of(raw.get("event_id"))
    if not event_id:
        event_id = uuid.uuid4().hex
        if raw.get("event_id") is not None:
            normalizer.record_problem("invalid", "event_id")
    raw["event_id"] = event_id

    drift = timestamps.clock_drift(context.sent_at, received_at)
    occurred_at = _occurred_at(raw, normalizer, drift, received_at)
    event = normalizer.run()
    if drift:
        _shift_breadcrumbs(event, drift)
    event["timestamp"] = _PLACEHOLDER
    user_key = user_key_of(event.get("user"), context.client_address)
    _hide_phone_number(event, user_key)
    release = release_of(event.pop("release", None))
    dist = release_of(event.pop("dist", None))
    if size == 0 or size > MAX_EXTRA_BYTES:
        note = _trim_extra(event)
        if note:
            event["errors"] = [*event.get("errors", ()), note]

    debug_ids = _debug_ids(event.get("debug_meta"))
    with_ip_hosts = locations.find(event)
    event = scrubber.scrub(event)
    if with_ip_hosts:
        locations.restore(event, with_ip_hosts)
    if debug_ids:
        _restore_debug_ids(event.get("debug_meta"), debug_ids)
    if event["timestamp"] == _PLACEHOLDER:
        event["timestamp"] = occurred_at.isoformat()
    if release:
        event["release"] = release
    if dist:
        event["dist"] = dist
    if context.filters:
        dropping = context.filters.matching(event)
        if dropping is not None:
            raise Filtered(event_id, dropping.value)
    found = business_refs.find(event)
    title, kind = title_of(event)
    group_hash, culprit = fingerprint.fingerprint(event), culprit_of(event)
    tags = event.get("tags")
    environment = str(event.get("environment") or "")[:64]
    return NewEvent(
        app_id=app_id,
        event_id=event_id,
        received_at=received_at,
        occurred_at=occurred_at,
        group_hash=group_hash,
        title=title[:300],
        payload=frame_cache.encode(event),
        severity=severity_of(event.get("level")).value,
        culprit=culprit[:300],
        type=kind[:200],
        platform=str(event.get("platform") or "")[:40],
        environment=environment,
        release=release[:200],
        category=found.get("category", "")[:64],
        function=(found.get("function") or str(event.get("transaction") or ""))[:200],
        request_id=found.get("request_id", ""),
        user_key=user_key,
        organization=found.get("organization", ""),
        order_ref=found.get("order_ref", ""),
        payment_ref=found.get("payment_ref", ""),
        reservation_ref=found.get("reservation_ref", ""),
        tags=tuple(list(tags.items())[:MAX_COUNTED_TAGS]) if isinstance(tags, dict) else (),
    )


def _debug_ids(meta: Any) -> list[str | None]:
    """Return the debug id of each image, or None where it is missing or invalid.

    The ids are restored after scrubbing, because the scrubber may mistake an id's digits for a card number.
    """
    images = meta.get("images") if type(meta) is dict else None
    if type(images) is not list:
        return []
    return [
        found
        if type(image) is dict
        and type(found := image.get("debug_id")) is str
        and _DEBUG_ID.fullmatch(found)
        else None
        for image in images
    ]


def _restore_debug_ids(meta: Any, debug_ids: list[str | None]) -> None:
    images = meta.get("images") if isinstance(meta, dict) else None
    for image, debug_id in zip(images if isinstance(images, list) else (), debug_ids, strict=False):
        if debug_id is not None and isinstance(image, dict):
            image["debug_id"] = debug_id


def _occurred_at(
    raw: dict[str, Any], normalizer: Normalizer, drift: timedelta, received_at: datetime
) -> datetime:
    """Return the client's timestamp, corrected for clock drift. If it is missing or unusable, return `received_at`."""
    timestamp = timestamps.parse(raw.get("timestamp"))
    if timestamp is None:
        if raw.get("timestamp") is not None:
            normalizer.record_problem("invalid", "timestamp")
        return received_at
    if drift:
        timestamp += drift
        normalizer.record_problem("clock drift corrected", "timestamp")
    if not timestamps.is_plausible(timestamp, received_at):
        normalizer.record_problem("implausible", "timestamp")
        return received_at
    return timestamp


def _shift_breadcrumbs(event: dict[str, Any], drift: timedelta) -> None:
    for crumb in (event.get("breadcrumbs") or {}).get("values", ()):
        timestamp = timestamps.parse(crumb.get("timestamp"))
        if timestamp is not None:
            try:
                crumb["timestamp"] = (timestamp + drift).isoformat()
            except OverflowError:
                crumb.pop("timestamp", None)
