"""Parse Sentry envelopes: a header line, then items, each with a header line and a payload."""

from dataclasses import dataclass, field
from typing import Any

from errors.event import json_codec
from errors.exceptions import Unreadable

_MAX_HEADER_BYTES = 8 * 1024
_MAX_ITEMS = 1_000


@dataclass(slots=True)
class Item:
    type: str
    header: dict[str, Any]
    payload: bytes


@dataclass(slots=True)
class Envelope:
    header: dict[str, Any]
    items: list[Item] = field(default_factory=list)
    fault: str = ""  # Gives the reason if the rest of the envelope could not be parsed.


def _header(line: bytes) -> dict[str, Any]:
    if len(line) > _MAX_HEADER_BYTES:
        raise Unreadable("a header line is larger than 8 KiB")
    header = json_codec.decode(line)
    if not isinstance(header, dict):
        raise Unreadable("a header is not a JSON object")
    return header


def _line_end(body: bytes, at: int) -> int:
    end = body.find(b"\n", at)
    return end if end >= 0 else len(body)


def _payload_end(body: bytes, at: int, length: Any) -> int:
    """Return the position after the payload that begins at `at`. Raises Unreadable if `length` is wrong.

    If `length` is None, the payload is one line.
    """
    if length is None:
        return _line_end(body, at)
    if type(length) is not int or length < 0:
        raise Unreadable("an item's length is not a number")
    end = at + length
    if end > len(body) and length:
        raise Unreadable("an item is shorter than its stated length")
    if end < len(body) and body[end] != 10:
        raise Unreadable("an item is longer than its stated length")
    return end


def parse(body: bytes) -> Envelope:
    """Parse an envelope up to the first faulty item, and at most _MAX_ITEMS items.

    Raises Unreadable if the envelope's header cannot be read.
    """
    if not body:
        raise Unreadable("the body is empty")
    end = _line_end(body, 0)
    envelope = Envelope(_header(body[:end]))
    at = end + 1
    try:
        while at < len(body) and len(envelope.items) < _MAX_ITEMS:
            if body[at] == 10:  # Blank lines between items are legal.
                at += 1
                continue
            end = _line_end(body, at)
            header = _header(body[at:end])
            at = end + 1
            end = _payload_end(body, at, header.get("length"))
            kind = header.get("type")
            envelope.items.append(Item(kind if isinstance(kind, str) else "", header, body[at:end]))
            at = end + 1
    except Unreadable as fault:
        envelope.fault = str(fault)
    return envelope
