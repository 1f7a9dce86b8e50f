"""Cache a limited number of entries so that a frequent entry is found with a single dict lookup, without a lock.

An LRU cache would have to record each use. Here, entries are added to a young generation, which replaces the old
generation when it is full. An entry that is found in the old generation is added to the young one again. Therefore,
entries in use stay, and unused entries are dropped after one or two generations. Threads may share the cache; in the
worst case, an entry is lost.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class GenerationCache(Generic[Key, Value]):
    """A cache with a young and an old generation. The young one becomes the old one when it reaches `max_weight`.

    `weight_of` returns the weight of a key's entry, by default one. Entries heavier than `max_entry_weight` are not
    cached. Loops that must be fast may look into `young` before they call `get`.
    """

    def __init__(
        self,
        max_weight: int,
        *,
        weight_of: Callable[[Key], int] = lambda _: 1,
        max_entry_weight: int | None = None,
    ) -> None:
        self.max_weight = max_weight
        self.max_entry_weight = max_entry_weight
        self._weight_of = weight_of
        self.clear()

    def clear(self) -> None:
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._young_weight = 0

    def get(self, key: Key) -> Value | None:
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        weight = self._weight_of(key)
        if self.max_entry_weight is not None and weight > self.max_entry_weight:
            return
        if self._young_weight >= self.max_weight:
            self._old, self.young, self._young_weight = self.young, {}, 0
        self.young[key] = value
        self._young_weight += weight
