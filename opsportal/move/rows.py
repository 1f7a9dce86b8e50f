"""Convert a row of SQLite to a line in the text format of PostgreSQL's COPY.

COPY … TO writes the same line for the copied row, so that both databases can be compared line by line. If several
strings represent the same value, as in JSON, `canonical` selects one of them. The format is described at
https://www.postgresql.org/docs/current/sql-copy.html.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

NULL = "\\N"
REPLACEMENT = "\ufffd"  # Replaces each character that PostgreSQL cannot store.
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}  # fmt: skip
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
_SPECIAL = re.compile(r"[\\\b\f\n\r\t\v\0]")
_ESCAPED = re.compile(r"\\[\\bfnrtv]")
_TRANSLATION = str.maketrans({**_ESCAPES, "\0": REPLACEMENT})
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def escape(text: str) -> str:
    return text.translate(_TRANSLATION) if _SPECIAL.search(text) else text


def unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: _UNESCAPES[found[0]], text) if "\\" in text else text


def _text(value: Any) -> str:
    return escape(value if isinstance(value, str) else str(value))


def _boolean(value: Any) -> str:
    return "t" if value else "f"


def _uuid(value: str) -> str:
    digits = value.replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _timestamp(value: str) -> str:
    if len(value) not in (19, 26) or value[10] != " ":
        parsed = datetime.fromisoformat(value)
        value = (parsed.astimezone(UTC) if parsed.tzinfo else parsed).isoformat(" ")[:26]
    return f"{_time(value)}+00"


def _time(value: str) -> str:
    return value.rstrip("0").rstrip(".") if "." in value else value


def _interval(value: int) -> str:
    return f"{value} microseconds"  # SQLite stores the integer of a DurationField in this unit.


def _bytes(value: bytes) -> str:
    return f"\\\\x{value.hex()}"


def _json(value: str) -> str:
    if "\\u" not in value:  # In JSON, characters that PostgreSQL cannot store are always escaped.
        return escape(value)
    return escape(json.dumps(_storable(json.loads(value)), ensure_ascii=False))


def _storable(value: Any) -> Any:
    """Replace the characters that PostgreSQL cannot store, which are NUL and unpaired surrogates, with REPLACEMENT."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _canonical_float(text: str) -> str:
    return repr(float(text) + 0.0)


def _canonical_number(text: str) -> str:
    return str(Decimal(text).normalize() + 0)


def _canonical_json(text: str) -> str:
    value = json.loads(unescape(text), parse_int=Decimal, parse_float=Decimal)
    return escape(json.dumps(value, sort_keys=True, default=_number))


def _number(value: Decimal) -> list[str]:
    """Wrap a number in a list, so that it differs from a string with the same digits."""
    return [str(value.normalize() + 0)]


class Kind(NamedTuple):
    """The functions that copy and compare the values of columns of one type."""

    to_copy: Callable[[Any], str]
    canonical: Callable[[str], str] | None = None
    # An SQL expression that makes COPY … TO write the value as `to_copy` does.
    expression: str = "{}"


# Maps the names of types in PostgreSQL's catalog to kinds.
KINDS = {
    "bool": Kind(_boolean),
    "bytea": Kind(_bytes),
    "date": Kind(str),
    "float8": Kind(repr, _canonical_float),
    "inet": Kind(str, expression="host({})"),
    "int2": Kind(str),
    "int4": Kind(str),
    "int8": Kind(str),
    "interval": Kind(_interval, expression="(extract(epoch FROM {}) * 1000000)::bigint || ' microseconds'"),
    "jsonb": Kind(_json, _canonical_json),
    "numeric": Kind(str, _canonical_number),
    "text": Kind(_text),
    "time": Kind(_time),
    "timestamptz": Kind(_timestamp),
    "uuid": Kind(_uuid),
    "varchar": Kind(_text),
}  # fmt: skip


class RowFormat:
    """The format of a table's lines. It depends on the kinds of the table's columns."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._converters = [kind.to_copy for kind in kinds]
        self._canonical = [
            (index, kind.canonical) for index, kind in enumerate(kinds) if kind.canonical
        ]

    def line(self, values: Sequence[Any]) -> bytes:
        """Convert a row of SQLite to the line that COPY … FROM reads."""
        fields = [
            NULL if value is None else convert(value)
            for convert, value in zip(self._converters, values, strict=True)
        ]
        return ("\t".join(fields) + "\n").encode()

    def comparable(self, line: bytes) -> bytes:
        """Return the line in a canonical form, which is the same for equal rows of both databases."""
        if not self._canonical:
            return line
        fields = line.decode().rstrip("\n").split("\t")
        for index, canonical in self._canonical:
            if fields[index] != NULL:
                fields[index] = canonical(fields[index])
        return ("\t".join(fields) + "\n").encode()
