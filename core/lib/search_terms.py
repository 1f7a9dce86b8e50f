"""Parse list searches, which consist of words and `key:value` filters, and suggest terms. All functions are pure."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_TERM = re.compile(r'(-?)(?:([A-Za-z][\w.-]*):)?("(?:[^"\\]|\\.)*"|\S+)')
_NEEDS_QUOTES = re.compile(r'[\s"]')
_SPAN = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_QUERY_LENGTH = 1000  # The maximum number of characters. The rest of a longer query is ignored.
MAX_SUGGESTIONS = 10


@dataclass(frozen=True)
class Term:
    value: str
    key: str = ""  # Empty for a plain word, which is not a filter.
    is_negative: bool = False


def parse(query: str) -> list[Term]:
    """Split a query into words and filters. Quotes enclose a value with spaces or a colon; `-` negates."""
    terms = []
    for minus, key, value in _TERM.findall(query[:MAX_QUERY_LENGTH].replace("\0", "")):
        if value.startswith("//") and key:
            # A URL is a word, not a filter.
            terms.append(Term(f"{key}:{value}", is_negative=bool(minus)))
            continue
        bare = value[1:-1].replace('\\"', '"') if value[:1] == '"' == value[-1:] != value else value
        if bare:
            terms.append(Term(bare, key.lower(), bool(minus)))
    return terms


def quote(value: str) -> str:
    """Return the value as it is written in a query, in quotes if needed."""
    escaped = value.replace('"', '\\"')
    return f'"{escaped}"' if _NEEDS_QUOTES.search(value) else value


def describe_unknown_key(key: str, value: str, known: Iterable[str]) -> str:
    """Return the message about an unknown key. It suggests the most similar key, or how to search for the text."""
    similar = difflib.get_close_matches(key, list(known), n=1, cutoff=0.7)
    hint = (
        f"did you mean {similar[0]}:{quote(value)}"
        if similar
        else f'to find the text, write "{key}:{value}"'
    )
    return f"unknown filter {key}: ({hint})"


def parse_time(value: str, now: datetime) -> datetime:
    """Parse `24h`, `7d`, or an ISO date or time, in UTC unless it has a zone. Raises ValueError for other strings."""
    span = _SPAN.fullmatch(value)
    if span:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        timestamp = datetime.fromisoformat(value)
        return timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is not a time; use, for example, 24h, 7d or 2026-11-22"
        ) from None


@dataclass(frozen=True)
class Suggestion:
    text: str  # The text that replaces the term that the user is typing.
    hint: str = ""


@dataclass(frozen=True)
class Completion:
    start: int  # The position at which the term that the user is typing starts.
    suggestions: list[Suggestion]


def complete(
    typed: str, *, keys: Mapping[str, str], values_of: Callable[[str, str], Iterable[str]]
) -> Completion:
    """Return suggestions for the last term of `typed`, which is the query up to the cursor.

    `keys` maps the keys to their descriptions. `values_of(key, prefix)` returns the values of a key.
    """
    typed = typed[:MAX_QUERY_LENGTH].replace("\0", "")
    start = _start_of_last_term(typed)
    term = typed[start:]
    minus = "-" if term.startswith("-") else ""
    key, colon, value = term.removeprefix("-").partition(":")
    if colon:
        prefix = value.lstrip('"')
        found = [
            Suggestion(f"{minus}{key}:{quote(one)} ") for one in values_of(key.lower(), prefix)
        ]
    else:
        found = [
            Suggestion(f"{minus}{name}:", description)
            for name, description in keys.items()
            if name.startswith(key.lower())
        ]
    return Completion(start, found[:MAX_SUGGESTIONS])


def _start_of_last_term(typed: str) -> int:
    start, is_quoted = 0, False
    for index, character in enumerate(typed):
        if character == '"' and typed[index - 1 : index] != "\\":
            is_quoted = not is_quoted
        elif character.isspace() and not is_quoted:
            start = index + 1
    return start
