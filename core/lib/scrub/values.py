"""Scrub JSON-like values, such as whole events, by their field names and texts."""

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from core.lib.generation_cache import GenerationCache
from core.lib.scrub.names import is_secret_name, words_of
from core.lib.scrub.texts import FILTERED, MIN_CARD_NUMBER, is_card_number, scrub_text

_MAX_DEPTH = 20
TOO_DEEP = "[too deep]"
_MAX_CACHED = 19_000  # A dict of CPython doubles its memory at 21,846 entries.
# Clients may use any number of names, so the number that each scrubber caches is limited.
_MAX_CACHED_NAMES = 9_000
_MAX_CACHED_LENGTH = 300


# All scrubbers share this cache, because the patterns do not depend on the app.
_clean_texts = GenerationCache[str, str](_MAX_CACHED)


def _text(text: str) -> str:
    """Return the scrubbed text, or the same object if it has no secret.

    Loops read `_clean_texts.young` first, to save the call.
    """
    if _clean_texts.get(text) is not None:
        return text
    scrubbed = scrub_text(text)
    if scrubbed != text:
        return scrubbed
    if len(text) <= _MAX_CACHED_LENGTH:
        _clean_texts.put(text, text)
    return text


_serials = itertools.count()


class Scrubbed:
    """The base class of containers whose content is already scrubbed. A scrubber returns them unchanged."""

    __slots__ = ()


class ScrubbedDict(dict[str, Any], Scrubbed):
    """A dict that is scrubbed already."""

    __slots__ = ()


class Scrubber:
    """A scrubber with an app's own extra and safe field names.

    It caches its decisions about names, and texts without secrets: events repeat file names, lines of code and
    versions, and a lookup is much faster than the patterns.
    """

    def __init__(self, extra_keys: Iterable[str] = (), safe_keys: Iterable[str] = ()) -> None:
        self._extra = frozenset("".join(words_of(str(key))) for key in extra_keys)
        self._safe = frozenset("".join(words_of(str(key))) for key in safe_keys)
        self._verdicts = GenerationCache[str, bool](_MAX_CACHED_NAMES)
        # Names that neither mark a secret nor contain one.
        self._harmless_names = GenerationCache[Any, bool](_MAX_CACHED_NAMES)
        self.serial = next(_serials)  # Unlike id(), this is unique among all scrubbers.

    def is_secret(self, name: str) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = is_secret_name(name, self._extra, self._safe)
            if len(name) <= _MAX_CACHED_LENGTH:
                self._verdicts.put(name, verdict)
        return verdict

    def _is_secret_pair(self, name: str) -> bool:
        return " " not in name and self.is_secret(name)

    def scrub(self, value: Any, depth: int = 0) -> Any:
        """Return a scrubbed copy of a JSON-like value. The copy shares the parts without secrets with the original.

        `depth` is the number of levels above the value in the whole event.
        """
        return self._walk_dict(value, depth) if type(value) is dict else self._walk(value, depth)

    @staticmethod
    def text(text: str) -> str:
        """Return a scrubbed text like scrub_text(), but with a cache."""
        return text if text in _clean_texts.young else _text(text)

    def _walk(self, value: Any, depth: int) -> Any:
        # This code runs for every value of an event, so it must be fast. Scalars are handled inside the loops, because
        # calling a function for each would be slow. Containers without secrets are not copied.
        kind = type(value)
        if kind is str:
            return value if value in _clean_texts.young else _text(value)
        if kind is dict:
            return self._walk_dict(value, depth)
        if kind is list:
            return self._walk_list(value, depth)
        if kind is int or kind is float:
            return FILTERED if is_card_number(value) else value
        if value is None or kind is bool:
            return value
        return self._walk_other(value, depth)

    def _walk_dict(self, value: dict[Any, Any], depth: int) -> Any:
        if depth > _MAX_DEPTH:
            return TOO_DEEP
        harmless, clean = self._harmless_names.young, _clean_texts.young
        changed: dict[Any, Any] | None = None
        for name, item in value.items():
            if name not in harmless:
                if type(name) is not str or self.is_secret(name) or _text(name) != name:
                    return self._rebuilt(value, depth)
                if len(name) <= _MAX_CACHED_LENGTH:
                    self._harmless_names.put(name, True)
            kind = type(item)
            if kind is str:
                if item in clean:
                    continue
                scrubbed: Any = _text(item)
            elif kind is int or kind is float:
                if -MIN_CARD_NUMBER < item < MIN_CARD_NUMBER or not is_card_number(item):
                    continue
                scrubbed = FILTERED
            elif item is None or kind is bool:
                continue
            elif kind is dict:
                scrubbed = self._walk_dict(item, depth + 1)
            else:
                scrubbed = self._walk(item, depth + 1)
            if scrubbed is not item:
                if changed is None:
                    changed = value.copy()
                changed[name] = scrubbed
        return value if changed is None else changed

    def _rebuilt(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        """Return a filtered copy of a dict in which a name marks a secret or contains one."""
        filtered: dict[str, Any] = {}
        for key, item in value.items():
            name = key if type(key) is str else str(key)
            if self.is_secret(name):
                # Keep empty values, which show that there was no password.
                has_no_secret = item is None or type(item) is bool or item == ""
                filtered[_text(name)] = item if has_no_secret else FILTERED
            else:
                filtered[_text(name)] = self._walk(item, depth + 1)
        return filtered

    def _walk_list(self, value: list[Any], depth: int) -> Any:
        if depth > _MAX_DEPTH:
            return TOO_DEEP
        if len(value) == 2 and type(value[0]) is str and self._is_secret_pair(value[0]):
            # This list is a pair of a name and a value, as in headers and query strings.
            return [_text(value[0]), FILTERED]
        clean = _clean_texts.young
        changed: list[Any] | None = None
        for place, item in enumerate(value):
            kind = type(item)
            if kind is str:
                if item in clean:
                    continue
                scrubbed: Any = _text(item)
            elif kind is dict:
                scrubbed = self._walk_dict(item, depth + 1)
            else:
                scrubbed = self._walk(item, depth + 1)
            if scrubbed is not item:
                if changed is None:
                    changed = value.copy()
                changed[place] = scrubbed
        return value if changed is None else changed

    def _walk_other(self, value: Any, depth: int) -> Any:
        """Scrub a value of a type that JSON does not have, or of a subclass of a JSON type."""
        if isinstance(value, Scrubbed):
            return value
        if isinstance(value, dict):
            return self._walk(dict(value), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._walk_list(list(value), depth)
        if isinstance(value, int | float):
            return FILTERED if is_card_number(value) else value
        return _text(str(value))


@lru_cache(maxsize=200)
def scrubber(
    extra_keys: frozenset[str] = frozenset(), safe_keys: frozenset[str] = frozenset()
) -> Scrubber:
    return Scrubber(extra_keys, safe_keys)


def scrub(
    value: Any,
    *,
    extra_keys: frozenset[str] = frozenset(),
    safe_keys: frozenset[str] = frozenset(),
) -> Any:
    """Return a JSON-like value with secrets and personal data replaced by "[Filtered]". The original is not changed."""
    return scrubber(extra_keys, safe_keys).scrub(value)
