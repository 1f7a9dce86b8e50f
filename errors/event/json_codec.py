"""Decode the JSON of clients with a strict, fast decoder, or with a lenient one for invalid JSON or JSON with NUL."""

import json
import re
from typing import Any

import msgspec

from errors.exceptions import Unreadable

_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_DEPTH = 60


def decode(raw: bytes) -> Any:
    """Decode a client's JSON, and tolerate common mistakes. Raises Unreadable if it cannot be decoded at all.

    The lenient decoder replaces NaN, Infinity and values nested deeper than _MAX_DEPTH with None, removes NUL
    characters, and replaces a lone surrogate with U+FFFD.
    """
    if not has_nul(raw):
        try:
            return _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    try:
        value = json.loads(
            raw.decode("utf-8", "replace"), parse_constant=_no_number, strict=False, parse_int=_int
        )
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not readable as JSON: {str(error)[:200]}") from None
    return _clean(value, 0)


def has_nul(raw: bytes) -> bool:
    r"""Return True if the JSON contains `\u0000`. A search for the backslash alone is faster, so it comes first."""
    return b"\\" in raw and b"\\u0000" in raw


def _no_number(name: str) -> None:
    return None


def _int(digits: str) -> int | float | str:
    if len(digits) < 19:
        return int(digits)
    return digits[:200] if len(digits) > 300 else float(digits)


def _text(text: str) -> str:
    return _LONE_SURROGATE.sub("�", text.replace("\x00", ""))


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        if depth > _MAX_DEPTH:
            return None
        return {_text(key): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value] if depth <= _MAX_DEPTH else None
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
