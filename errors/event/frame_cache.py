"""Decode events, reusing what earlier events had in common with them.

The stack frames of libraries, the list of installed modules and the SDK's description repeat byte for byte in
thousands of events. Each of them is looked up by its bytes; on a miss it is decoded, normalized and scrubbed by the
same functions as every other part of an event, and the result is kept. `ScrubbedDict` and `ScrubbedList` mark such
results, so that the normalizer and the scrubber skip them when they process the event as a whole. Everything else is
only decoded here.

The result is the same as without a cache. The one exception: a number that no float can hold, in a member that a later
duplicate replaces, does not switch the whole event to the lenient decoder.
"""

from typing import Any

import msgspec
from msgspec import Raw

from core.lib.scrub import ScrubbedDict, ScrubbedList, Scrubber
from errors.event import json_codec
from errors.event.normalize import MAX_FRAMES, Normalizer

MAX_ENTRY_BYTES = 16 * 1024
MAX_GENERATION_BYTES = 3 * 512 * 1024  # of raw JSON; decoded it takes four times as much
MIN_CHARGED_BYTES = 400  # of a tiny entry the objects around it take more than its text
CACHED_MEMBERS = frozenset(("modules", "sdk", "contexts"))
# Where the scrubber meets these parts when it walks a whole event; it cuts off what is nested too deeply.
_MEMBER_DEPTH = 1
_FRAME_DEPTH = 6  # event, exception, values, value, stacktrace, frames, frame


class _Chain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    values: list[dict[str, Raw]]


class _Stacktrace(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    frames: list[Raw]


_decode_any = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_chain = msgspec.json.Decoder(_Chain).decode
_decode_stacktrace = msgspec.json.Decoder(_Stacktrace).decode


class _Cache:
    """A cache in two generations: when the young one is full it becomes the old one, which is dropped.

    An entry that is found in the old generation moves to the young one.
    """

    def __init__(self) -> None:
        self.young: dict[tuple[int, bytes], Any] = {}
        self.old: dict[tuple[int, bytes], Any] = {}
        self._young_bytes = 0

    def get(self, key: tuple[int, bytes]) -> Any:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: tuple[int, bytes], value: Any) -> None:
        if len(key[1]) > MAX_ENTRY_BYTES:
            return
        if self._young_bytes > MAX_GENERATION_BYTES:
            self.old, self.young, self._young_bytes = self.young, {}, 0
        self.young[key] = value
        self._young_bytes += max(len(key[1]), MIN_CHARGED_BYTES)


# Separate caches: the same bytes are normalized differently as a frame and as a member.
_frames, _members = _Cache(), _Cache()


def decode(payload: bytes, scrubber: Scrubber) -> Any:
    """Return what `json_codec.decode` returns, with some parts scrubbed already. Raises Unreadable."""
    if b"\\u0000" not in payload:
        try:
            payload.decode()  # msgspec does not check the encoding of what it leaves raw
            return {
                name: _member(name, raw, scrubber) for name, raw in _decode_members(payload).items()
            }
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return json_codec.decode(payload)


def _member(name: str, raw: Raw, scrubber: Scrubber) -> Any:
    if name == "exception":
        return _exception(raw, scrubber)
    if name not in CACHED_MEMBERS:
        return _decode_any(raw)
    key = (scrubber.serial, bytes(raw))
    found = _members.get(key)
    if found is None:
        found = _decode_any(raw)
        if type(found) is dict:
            found = ScrubbedDict(scrubber.scrub(found, depth=_MEMBER_DEPTH))
            _members.put(key, found)
    return found


def _exception(raw: Raw, scrubber: Scrubber) -> Any:
    try:
        chain = _decode_chain(raw).values
    except msgspec.ValidationError:
        return _decode_any(raw)
    return {
        "values": [
            {
                name: _stacktrace(item, scrubber) if name == "stacktrace" else _decode_any(item)
                for name, item in value.items()
            }
            for value in chain
        ]
    }


def _stacktrace(raw: Raw, scrubber: Scrubber) -> Any:
    try:
        given = _decode_stacktrace(raw).frames
    except msgspec.ValidationError:
        return _decode_any(raw)
    frames = [_frame(bytes(frame), scrubber) for frame in given]
    if None in frames or len(frames) > MAX_FRAMES:
        return _decode_any(raw)  # the normalizer removes some of them
    return {"frames": ScrubbedList(frames)}


def _frame(raw: bytes, scrubber: Scrubber) -> dict[str, Any] | None:
    key = (scrubber.serial, raw)
    found: dict[str, Any] | None = _frames.get(key)
    if found is None:
        frame = _decode_any(raw)
        if type(frame) is not dict:
            return None
        scrubbed: dict[str, Any] = scrubber.scrub(Normalizer.frame(frame), depth=_FRAME_DEPTH)
        if "vars" not in scrubbed:  # locals are different every time
            _frames.put(key, scrubbed)
        return scrubbed
    return found
