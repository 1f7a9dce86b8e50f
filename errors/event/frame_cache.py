"""Decode events with a cache of the parts that many events have in common.

Stack frames, the list of installed modules and the SDK's description are identical in thousands of events. Each of
these parts is decoded, normalized and scrubbed by the functions that process the other parts of an event. Unless it is
too large, the result is cached under its JSON. Its type `Scrubbed` makes the normalizer and the scrubber skip it when
they process the whole event. Only the frames of exceptions are cached.

The cache changes the result in only one case. Without the cache, a number beyond the range of a float makes the lenient
decoder decode the whole event. With it, such a number goes unnoticed in a member that is never decoded: an unknown
member, or one that a later duplicate replaces.

The cache saves 40 % of the CPU time of `build_event_from_json` (`python -m bench.build_event`).
"""

import itertools
from typing import Any, TypedDict

import msgspec
from msgspec import UNSET, Raw, UnsetType

from core.lib.generation_cache import GenerationCache
from core.lib.scrub import ScrubbedDict, Scrubber
from errors.event import json_codec, locations
from errors.event.accessors import Frames, exceptions_of, frames_of
from errors.event.normalize import ALIASES, KEPT, MAX_FRAMES, Normalizer

MAX_ENTRY_BYTES = 16 * 1024
# Limits the JSON of a generation. The cache keeps two generations, and the decoded values take more memory.
MAX_GENERATION_BYTES = 3 * 1024 * 1024
# Each entry counts as at least this size, because a tiny frame takes more memory decoded than as JSON.
MIN_CHARGED_BYTES = 400

# These members make up most of a frame's JSON, but are not needed to build an event.
_ONLY_STORED = {"pre_context", "post_context"}
# `contexts` is not cached, because it contains the trace, which differs in each event.
_CACHED_MEMBERS = ("modules", "sdk")
# The scrubber replaces values that are nested too deeply, so it needs the depth of these parts in the event.
_MEMBER_DEPTH = 1
# The levels above a frame are event, exception, values, value, stacktrace and frames.
_FRAME_DEPTH = 6


class _Stacktrace(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    frames: list[Raw]


class _Exception(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    type: Any = UNSET
    value: Any = UNSET
    module: Any = UNSET
    thread_id: Any = UNSET
    mechanism: Any = UNSET
    stacktrace: _Stacktrace | UnsetType | None = UNSET


class _Exceptions(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    values: list[_Exception]


_Event = TypedDict(  # type: ignore[misc]  # mypy wants a literal
    "_Event",
    dict.fromkeys((*KEPT, *ALIASES), Any)
    | dict.fromkeys(_CACHED_MEMBERS, Raw)
    | {"exception": _Exceptions | list[_Exception] | None},
    total=False,
)
_decode_event = msgspec.json.Decoder[dict[str, Any]](_Event).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_any = msgspec.json.Decoder().decode

_Key = tuple[int, bytes]  # Consists of the scrubber's serial number and the raw JSON.
# Consists of the members to read, the value to encode, and a number.
# Frames that differ only in their local variables share a number.
_Frame = tuple[dict[str, Any], Any, int]


def _weight_of(key: _Key) -> int:
    return max(len(key[1]), MIN_CHARGED_BYTES)


_members = GenerationCache[_Key, ScrubbedDict](
    MAX_GENERATION_BYTES, weight_of=_weight_of, max_entry_weight=MAX_ENTRY_BYTES
)
_frames = GenerationCache[_Key, _Frame](
    MAX_GENERATION_BYTES, weight_of=_weight_of, max_entry_weight=MAX_ENTRY_BYTES
)
_numbers = itertools.count()


def decode(payload: bytes, scrubber: Scrubber) -> Any:
    """Decode an event with parts from the cache, which are already scrubbed. Raises Unreadable for invalid JSON."""
    if json_codec.has_nul(payload):
        return json_codec.decode(payload)
    try:
        payload.decode()  # Detects invalid UTF-8 also in members that msgspec skips.
        event = _decode_event(payload)
        for name in _CACHED_MEMBERS:
            if name in event:
                event[name] = _member(bytes(event[name]), scrubber)
        given = event.get("exception")
        if given is not None:
            values = given.values if type(given) is _Exceptions else given
            event["exception"] = {"values": [_exception(value, scrubber) for value in values]}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json_codec.decode(payload)
    return event


def _member(raw: bytes, scrubber: Scrubber) -> Any:
    key = (scrubber.serial, raw)
    cached = _members.get(key)
    if cached is not None:
        return cached
    member = _decode_any(raw)
    if type(member) is dict:
        member = ScrubbedDict(scrubber.scrub(member, _MEMBER_DEPTH))
        _members.put(key, member)
    return member


def _exception(given: _Exception, scrubber: Scrubber) -> dict[str, Any]:
    names = given.__struct_fields__
    members = {name: item for name in names if (item := getattr(given, name)) is not UNSET}
    if type(given.stacktrace) is _Stacktrace:
        members["stacktrace"] = {"frames": _stack(given.stacktrace.frames, scrubber)}
    return members


def _stack(given: list[Raw], scrubber: Scrubber) -> list[Any]:
    if not 0 < len(given) <= MAX_FRAMES:
        # Do not cache the frames of a list that is too long, because the normalizer drops some of them. An empty list
        # has nothing to cache.
        return [_decode_any(raw) for raw in given]
    # Most frames are in the young generation. They are looked up inline to save a function call per frame.
    young, serial = _frames.young, scrubber.serial
    frames = [young.get((serial, raw)) or _frame(raw, scrubber) for raw in map(bytes, given)]
    return Frames(*zip(*frames, strict=True))


def _frame(raw: bytes, scrubber: Scrubber) -> _Frame:
    key = (scrubber.serial, raw)
    frame = _frames.get(key)
    if frame is None:
        if b'"vars"' in raw:
            return _frame_with_locals(raw, scrubber)
        members = _scrubbed(_decode_object(raw), scrubber)
        encoded = Raw(json_codec.encode(members))
        frame = (
            {name: members[name] for name in members if name not in _ONLY_STORED},
            encoded,
            next(_numbers),
        )
        _frames.put(key, frame)
    return frame


def _frame_with_locals(raw: bytes, scrubber: Scrubber) -> _Frame:
    """Return a frame with local variables. Only these are decoded and scrubbed each time; other members are cached."""
    members = _decode_members(raw)
    local = members.pop("vars", None)
    # Neither names nor JSON contain NUL here, so they can be separated by it, and different frames have different keys.
    key = (scrubber.serial, b"\0".join(("\0".join(members).encode(), *members.values())))
    frame = _frames.get(key)
    if frame is None:
        rest = _scrubbed({name: _decode_any(members[name]) for name in members}, scrubber)
        rest |= {name: Raw(json_codec.encode(rest[name])) for name in _ONLY_STORED & rest.keys()}
        frame = (rest, rest, next(_numbers))
        _frames.put(key, frame)
    if local is None:
        return frame
    rest, _, number = frame
    whole = {**rest, **_scrubbed({"vars": _decode_any(local)}, scrubber)}
    return whole, whole, number


def _scrubbed(frame: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    scrubbed: dict[str, Any] = locations.scrub_frame(
        Normalizer.frame(frame), scrubber, _FRAME_DEPTH
    )
    return scrubbed


def encode(event: dict[str, Any]) -> bytes:
    """Encode an event as JSON. Its cached frames are replaced with raw JSON, so they cannot be read afterwards."""
    for exception in exceptions_of(event):
        frames = frames_of(exception.get("stacktrace"))
        if type(frames) is Frames:
            exception["stacktrace"]["frames"] = frames.encoded
    return json_codec.encode(event)
