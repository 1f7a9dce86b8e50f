"""Sentry's envelope framing: a header line, then items of a header line and a payload each."""

from dataclasses import dataclass, field
from typing import Any

from errors.intake import jsons
from errors.intake.body import Unreadable

_LONGEST_HEADER = 8 * 1024
_MOST_ITEMS = 1_000


@dataclass(slots=True)
class Item:
    type: str
    header: dict[str, Any]
    payload: bytes


@dataclass(slots=True)
class Envelope:
    header: dict[str, Any]
    items: list[Item] = field(default_factory=list)
    fault: str = ""  # what broke the framing after the items that could be read


def _header(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_HEADER:
        raise Unreadable("a header line is over 8 KiB")
    header = jsons.decode(line)
    if not isinstance(header, dict):
        raise Unreadable("a header is not a JSON object")
    return header


def parse(body: bytes) -> Envelope:
    """Raises Unreadable when not even the envelope's own header can be read."""
    if not body:
        raise Unreadable("the body is empty")
    end = body.find(b"\n")
    if end < 0:
        end = len(body)
    envelope = Envelope(_header(body[:end]))
    at = end + 1
    try:
        while at < len(body) and len(envelope.items) < _MOST_ITEMS:
            if body[at] == 10:  # blank lines between items are legal
                at += 1
                continue
            end = body.find(b"\n", at)
            if end < 0:
                end = len(body)
            header = _header(body[at:end])
            at = end + 1
            length = header.get("length")
            if length is None:
                stop = body.find(b"\n", at)
                if stop < 0:
                    stop = len(body)
            elif type(length) is int and length >= 0:
                stop = at + length
                if stop > len(body) and length:
                    raise Unreadable("an item is shorter than its length says")
                if stop < len(body) and body[stop] != 10:
                    raise Unreadable("an item is longer than its length says")
            else:
                raise Unreadable("an item's length is not a number")
            kind = header.get("type")
            envelope.items.append(
                Item(kind if isinstance(kind, str) else "", header, body[at:stop])
            )
            at = stop + 1
    except Unreadable as fault:
        envelope.fault = str(fault)
    return envelope
