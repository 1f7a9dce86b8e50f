"""Combine values in memory and write them every few seconds, so that a burst causes few writes.

A process that is killed loses the values in its memory. Work that must not be lost belongs in a transaction.
"""

import os
import threading
import weakref
from collections.abc import Callable
from enum import StrEnum, auto
from typing import Any, Generic, TypeVar

from django.db import InterfaceError, OperationalError

from core.lib import background

Key = TypeVar("Key")
Value = TypeVar("Value")


class OnFailure(StrEnum):
    """The ways to handle values that could not be written."""

    DROP = auto()
    """The values are counted as dropped. Use this where writing twice would be worse than not writing at all."""

    RETRY = auto()
    """If the database is unavailable, the next flush writes the values. Values that it rejects are dropped."""


class Buffer(Generic[Key, Value]):
    """A dict that any thread can fill. The background thread calls `write` to empty it.

    `merge` combines the value in memory (first argument) with a new value for the same key. `count_of` returns the
    number of items that a value stands for, by default one. If there is no room for a new key (`max_keys`) or for more
    items (`max_count`), a value is added to its `overflow_key`, for which there is always room. Without `overflow_key`,
    the value is dropped and counted. When the number of items reaches `flush_at`, the background thread writes
    immediately.
    """

    def __init__(
        self,
        name: str,
        *,
        seconds: float,
        write: Callable[[dict[Key, Value]], object],
        merge: Callable[[Value, Value], Value],
        max_keys: int,
        on_failure: OnFailure,
        count_of: Callable[[Value], int] = lambda _: 1,
        max_count: int | None = None,
        overflow_key: Callable[[Key], Key] | None = None,
        flush_at: int | None = None,
    ) -> None:
        self.max_keys = max_keys
        self.max_count = max_count
        self.dropped_count = 0
        self._write = write
        self._merge = merge
        self._on_failure = on_failure
        self._count_of = count_of
        self._overflow_key = overflow_key
        self._flush_at = flush_at
        self.clear()
        _buffers.add(self)
        background.chore(name, seconds=seconds, at_exit=True)(self.flush)

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Discard the values in memory. A forked child does this, because its parent writes them."""
        self._lock = threading.Lock()
        self._values: dict[Key, Value] = {}
        self._count = 0

    def add(self, key: Key, value: Value) -> bool:
        """Add a value. Return False if there was no room, so that it was dropped."""
        count = self._count_of(value)
        with self._lock:
            if not self._has_room(key, count):
                if self._overflow_key is None:
                    self.dropped_count += count
                    return False
                key = self._overflow_key(key)
            known = self._values.get(key)
            self._values[key] = value if known is None else self._merge(known, value)
            before, self._count = self._count, self._count + count
        if self._flush_at is not None and before < self._flush_at <= before + count:
            background.run_soon()
        return True

    def _has_room(self, key: Key, count: int) -> bool:
        if self.max_count is not None and self._count + count > self.max_count:
            return False
        return len(self._values) < self.max_keys or key in self._values

    def flush(self) -> int:
        """Write the values in memory. Return the number of items written, or raise the exceptions of `write`."""
        with self._lock:
            values, self._values = self._values, {}
            count, self._count = self._count, 0
        if not values:
            return 0
        try:
            self._write(values)
        except Exception as error:
            is_unavailable = isinstance(error, OperationalError | InterfaceError)
            with self._lock:
                if is_unavailable and self._on_failure is OnFailure.RETRY:
                    self._restore(values)
                    self._count += count
                else:
                    self.dropped_count += count
            raise
        return count

    def _restore(self, values: dict[Key, Value]) -> None:
        for key, value in self._values.items():
            values[key] = self._merge(values[key], value) if key in values else value
        self._values = values


_buffers: weakref.WeakSet[Buffer[Any, Any]] = weakref.WeakSet()


def _clear_all() -> None:
    for buffer in _buffers:
        buffer.clear()


os.register_at_fork(after_in_child=_clear_all)
