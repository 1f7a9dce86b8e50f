"""The parts of an event that are the same in thousands of others, mended and filtered once.

Frames of libraries, the list of modules, the SDK's description: most of an event repeats byte for byte. Such a part is
looked up by its bytes instead of being decoded, walked and encoded again. What differs each time but always has the
same few names (breadcrumbs, a frame's locals) is filtered name by name; everything else (the request, the user) takes
the ordinary way, and so does all that is not shaped as usual: nothing here decides what is kept.
"""

import itertools
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from errors.fingerprint import Frames
from errors.intake import jsons
from errors.intake.normalize import (
    ALIASES,
    LONGEST_MESSAGE,
    LONGEST_NAME,
    MOST_BREADCRUMBS,
    MOST_FRAMES,
    Normalizer,
)
from opsportal.lib.scrub import Scrubber
from opsportal.lib.scrub.texts import SMALLEST_CARD

LONGEST_REMEMBERED = 16 * 1024
MOST_REMEMBERED_BYTES = 3 * 512 * 1024  # of raw parts, of each kind, in one of two generations
LEAST_REMEMBERED_BYTES = 400  # that a part counts for: what is made of a tiny one takes more

_ONLY_SHOWN = frozenset({"pre_context", "post_context"})  # most of a frame; nothing is read of it


class Ready(NamedTuple):
    """Members that are normalized and filtered already: what is read of them, and what is encoded of them."""

    read: dict[str, Any]
    encoded: dict[str, Any]


_Fragment = tuple[Any, Raw]  # what is read of it, what is encoded of it
_Frame = tuple[Any, Raw, int]  # as well, and a number that no other frame gets
_AroundLocals = tuple[
    _Frame, bytes, bytes
]  # the frame without; what is encoded before; the bytes after
Known = TypeVar("Known")


class _Stack(msgspec.Struct, gc=False):
    frames: list[Raw]
    registers: Any = UNSET
    lang: Any = UNSET


class _Value(msgspec.Struct, gc=False):
    type: str | None = None
    value: str | None = None
    module: str | None = None
    thread_id: Any = UNSET
    mechanism: Any = UNSET
    stacktrace: _Stack | None = None


class _Exception(msgspec.Struct, gc=False):
    values: list[_Value]


class _Locals(msgspec.Struct, gc=False):
    """A frame, of which only the locals are wanted."""

    vars: Raw | UnsetType = UNSET


class _Crumb(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A breadcrumb as nearly all are. None of its names is secret by itself; what an app adds is asked for."""

    timestamp: int | float | str | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    category: str | UnsetType | None = UNSET
    level: str | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    data: dict[str, Any] | UnsetType | None = UNSET


class _Crumbs(msgspec.Struct, gc=False):
    values: list[_Crumb]


_OLD_NAMES = {f"old_{name}": old for old, name in ALIASES.items()}


class _Event(msgspec.Struct, gc=False, rename=_OLD_NAMES):
    """The members a normalized event keeps; others are skipped without being decoded."""

    exception: _Exception | UnsetType | None = UNSET
    modules: Raw | UnsetType = UNSET
    sdk: Raw | UnsetType = UNSET
    contexts: Raw | UnsetType = UNSET
    debug_meta: Raw | UnsetType = UNSET
    extra: Raw | UnsetType = UNSET
    breadcrumbs: Raw | UnsetType = UNSET
    event_id: Any = UNSET
    timestamp: Any = UNSET
    platform: Any = UNSET
    level: Any = UNSET
    logger: Any = UNSET
    transaction: Any = UNSET
    server_name: Any = UNSET
    release: Any = UNSET
    dist: Any = UNSET
    environment: Any = UNSET
    logentry: Any = UNSET
    message: Any = UNSET
    threads: Any = UNSET
    stacktrace: Any = UNSET
    template: Any = UNSET
    user: Any = UNSET
    request: Any = UNSET
    tags: Any = UNSET
    fingerprint: Any = UNSET
    culprit: Any = UNSET
    csp: Any = UNSET
    type: Any = UNSET
    errors: Any = UNSET
    old_logentry: Any = UNSET
    old_exception: Any = UNSET
    old_stacktrace: Any = UNSET
    old_request: Any = UNSET
    old_user: Any = UNSET
    old_breadcrumbs: Any = UNSET
    old_contexts: Any = UNSET
    old_template: Any = UNSET


_REMEMBERED = ("modules", "sdk", "contexts", "debug_meta", "extra")
_ORDINARY = tuple(
    name
    for name in _Event.__struct_fields__
    if name not in (*_REMEMBERED, *_OLD_NAMES, "exception", "breadcrumbs")
)
_ordinary_of, _old_names_of = attrgetter(*_ORDINARY), attrgetter(*_OLD_NAMES)
_NOTHING_OLD = (UNSET,) * len(_OLD_NAMES)
_decode = msgspec.json.Decoder(_Event).decode
_decode_any = msgspec.json.Decoder().decode
_decode_crumbs = msgspec.json.Decoder(_Crumbs | list[_Crumb]).decode
_CRUMB_NAMES = ("breadcrumbs", "values", *_Crumb.__struct_fields__)
_locals_of = msgspec.json.Decoder(_Locals).decode


class _Memory(Generic[Known]):
    """Parts by their bytes, in two generations: what is still in use when the young one is full moves on with it."""

    def __init__(self) -> None:
        self.young: dict[tuple[int, bytes], Known] = {}
        self._old: dict[tuple[int, bytes], Known] = {}
        self._size = 0

    def get(self, key: tuple[int, bytes]) -> Known | None:
        found = self.young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: tuple[int, bytes], known: Known) -> None:
        if self._size > MOST_REMEMBERED_BYTES:
            self._old, self.young, self._size = self.young, {}, 0
        self.young[key] = known
        self._size += max(len(key[1]), LEAST_REMEMBERED_BYTES)


# Apart: what is a fine list of modules would be a frame that nobody mended.
_parts, _frames = _Memory[_Fragment](), _Memory[_Frame]()
_around_locals = _Memory[_AroundLocals]()  # by the bytes before them
_numbers = itertools.count()


def split(payload: bytes, scrubber: Scrubber) -> tuple[dict[str, Any], Ready] | None:
    """The members that take the ordinary way, and the parts that are ready; None when the event is unusual."""
    if b"\\" in payload and b"\\u0000" in payload:  # one byte is found in a tenth of the time
        return None
    try:
        event = _decode(payload)
        if _old_names_of(event) != _NOTHING_OLD:
            return None
        ready = Ready({}, {})
        for name in _REMEMBERED:
            raw = getattr(event, name)
            if raw is not UNSET and raw != b"null":
                part = _part(bytes(raw), scrubber)
                if type(part[0]) is not dict:
                    return None
                ready.read[name], ready.encoded[name] = part
        if isinstance(event.exception, _Exception) and event.exception.values:
            chain = _chain(event.exception.values, scrubber)
            if chain is None:
                return None
            ready.read["exception"], ready.encoded["exception"] = chain
        crumbs = None
        if event.breadcrumbs is not UNSET and event.breadcrumbs != b"null":
            crumbs = _breadcrumbs(event.breadcrumbs, scrubber)
            if crumbs is not None:
                ready.read["breadcrumbs"] = ready.encoded["breadcrumbs"] = crumbs
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    ordinary = {
        name: value
        for name, value in zip(_ORDINARY, _ordinary_of(event), strict=True)
        if value is not UNSET and value is not None
    }
    if crumbs is None and event.breadcrumbs is not UNSET:
        ordinary["breadcrumbs"] = jsons.decode(bytes(event.breadcrumbs))
    return ordinary, ready


def _part(raw: bytes, scrubber: Scrubber) -> _Fragment:
    key = (scrubber.serial, raw)
    found = _parts.get(key)
    if found is None:
        value = scrubber.scrub(jsons.decode(raw))
        found = (value, Raw(jsons.encode(value)))
        if len(raw) <= LONGEST_REMEMBERED:
            _parts.put(key, found)
    return found


def _frame(raw: bytes, scrubber: Scrubber) -> _Frame | None:
    key = (scrubber.serial, raw)
    found = _frames.get(key) or _frame_with_locals(raw, scrubber)
    if found is None:
        frame = jsons.decode(raw)
        if type(frame) is not dict:
            return None
        frame = scrubber.scrub(Normalizer.frame(frame))
        encoded = jsons.encode(frame)
        read = {name: value for name, value in frame.items() if name not in _ONLY_SHOWN}
        found = (read, Raw(raw if raw == encoded else encoded), next(_numbers))
        if len(raw) <= LONGEST_REMEMBERED and "vars" not in frame:
            _frames.put(key, found)
    return found


def _frame_with_locals(raw: bytes, scrubber: Scrubber) -> _Frame | None:
    """A frame's locals are different every time, the rest of it is not; None when the two cannot be told apart."""
    before, found, text = raw.partition(b'"vars":')
    if not found or text[:1] != b"{":
        return None
    key = (scrubber.serial, before)
    around = _around_locals.get(key)
    if around is not None and text.endswith(around[2]):
        try:
            variables = _decode_any(text[: -len(around[2])])
        except msgspec.DecodeError:
            around = None  # they end elsewhere
    else:
        around = None
    if around is None:
        given = _locals_of(raw).vars
        if given is UNSET or raw.count(b'"vars"') != 1 or not text.startswith(bytes(given)):
            return None
        variables = jsons.decode(bytes(given))
        after = text[len(bytes(given)) :]
        rest = _frame(before + b'"vars":null' + after, scrubber)
        if rest is None or not rest[0] or "vars" in rest[0]:
            return None
        around = (rest, bytes(rest[1])[:-1] + b",", after)
        if len(after) <= len(before) <= LONGEST_REMEMBERED:  # its key says how much it takes
            _around_locals.put(key, around)
    encoded = jsons.encode(scrubber.scrub({"vars": variables}))
    rest, opening, _ = around
    return rest[0], Raw(opening + encoded[1:]), rest[2]


@lru_cache(maxsize=200)
def _has_secret_crumbs(scrubber: Scrubber) -> bool:
    """Whether an app calls secret what all breadcrumbs have."""
    return any(map(scrubber.is_secret, _CRUMB_NAMES))


def _breadcrumbs(raw: Raw, scrubber: Scrubber) -> _Crumbs | None:
    """Decoded without a dict for each, which takes half the time; None for what is not as usual."""
    if _has_secret_crumbs(scrubber):
        return None
    try:
        given = _decode_crumbs(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    crumbs = given if isinstance(given, _Crumbs) else _Crumbs(given)
    if not 0 < len(crumbs.values) <= MOST_BREADCRUMBS:
        return None
    clean, text, scrub = scrubber.known_clean, scrubber.text, scrubber.scrub
    for crumb in crumbs.values:
        # Nearly every text was seen before: a call for each would double the time.
        at = crumb.timestamp
        if type(at) is float:
            if not -SMALLEST_CARD < at < SMALLEST_CARD:
                crumb.timestamp = scrub(at)
        elif at is not UNSET:
            crumb.timestamp = scrub(at)
        if (said := crumb.type) and said not in clean:
            crumb.type = text(said)
        if (said := crumb.category) and said not in clean:
            crumb.category = text(said)
        if (said := crumb.level) and said not in clean:
            crumb.level = text(said)
        if (said := crumb.message) and said not in clean:
            crumb.message = text(said)
        if crumb.data:
            crumb.data = scrub(crumb.data)
    return crumbs


def _chain(values: list[_Value], scrubber: Scrubber) -> tuple[Any, Any] | None:
    read, encoded = [], []
    for given in values:
        if len(given.value or "") > LONGEST_MESSAGE or len(given.type or "") > LONGEST_NAME:
            return None
        value: dict[str, Any] = {"type": given.type, "value": given.value, "module": given.module}
        if type(given.mechanism) is dict:
            value["mechanism"] = given.mechanism
        if given.thread_id is not UNSET:
            value["thread_id"] = given.thread_id
        value = scrubber.scrub({name: one for name, one in value.items() if one is not None})
        if given.stacktrace is None:
            read.append(value)
            encoded.append(value)
            continue
        if len(given.stacktrace.frames) > MOST_FRAMES:
            return None
        seen, serial = _frames.young, scrubber.serial
        frames = [
            seen.get((serial, raw)) or _frame(raw, scrubber)
            for raw in map(bytes, given.stacktrace.frames)
        ]
        if None in frames:
            return None
        rest: dict[str, Any] = {}
        if given.stacktrace.registers is not UNSET:
            rest["registers"] = scrubber.scrub(given.stacktrace.registers)
        if given.stacktrace.lang is not UNSET:
            rest["lang"] = scrubber.scrub(given.stacktrace.lang)
        shown, written, numbers = zip(*frames, strict=True) if frames else ((), (), ())
        read.append({**value, "stacktrace": {**rest, "frames": Frames(shown, numbers)}})
        encoded.append({**value, "stacktrace": {**rest, "frames": written}})
    return {"values": read}, {"values": encoded}
