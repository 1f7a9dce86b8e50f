"""Limit rates over a sliding window in the memory of one process.

The `limits` package is not used: its memory storage never drops a key, such as an address that an attacker used once,
and scans all keys in a new thread every 10 ms.
"""

import threading
import time
from bisect import bisect_right
from typing import NamedTuple

MAX_KEYS = 100_000
# Up to this limit, each call has its own entry. Above it, hits within a thousandth of the window share an entry, which
# expires with its newest hit. Therefore, sharing never allows more hits than the limit, and a limit of a
# million per day needs little memory.
MAX_ENTRIES = 1_000

# (allowed, remaining hits, seconds until the oldest hit expires): cheaper to create than a Decision.
RawDecision = tuple[bool, int, float]


class Decision(NamedTuple):
    """The outcome of one attempt to use a rate-limited key."""

    allowed: bool
    limit: int
    remaining: int
    reset_at: float  # The Unix time, in seconds, at which the oldest hit leaves the window.
    retry_after: float  # The time to wait in seconds, or 0 if allowed.

    @classmethod
    def from_raw(cls, limit: int, raw: RawDecision) -> "Decision":
        allowed, remaining, wait = raw
        return cls(allowed, limit, remaining, time.time() + wait, 0.0 if allowed else wait)


class _Hits:
    """The hits of one key, oldest first."""

    __slots__ = ("counts", "newest_began_at", "pending_sync", "times", "total", "window")

    def __init__(self, window: float) -> None:
        # A list, because a deque needs several times the memory for an address that calls once.
        self.times: list[float] = []
        # The number of hits per entry, or None while every entry is one hit.
        self.counts: list[int] | None = None
        self.newest_began_at = 0.0  # The time of the first hit in the newest entry.
        self.total = 0
        self.pending_sync = 0  # The number of hits that have not been reported to Redis.
        self.window = window

    def expire(self, until: float) -> None:
        """Remove the hits at or before `until`."""
        expired = bisect_right(self.times, until)
        del self.times[:expired]
        if self.counts is None:
            self.total -= expired
        else:
            self.total -= sum(self.counts[:expired])
            del self.counts[:expired]

    def add(self, now: float, cost: int, merge_within: float) -> None:
        """Add `cost` hits to the newest entry if it began less than `merge_within` seconds ago, else to a new entry."""
        self.total += cost
        if not merge_within and cost == 1 and self.counts is None:
            self.times.append(now)
            return
        if self.counts is None:
            self.counts = [1] * len(self.times)
        if self.times and merge_within and now - self.newest_began_at < merge_within:
            self.times[-1] = now
            self.counts[-1] += cost
        else:
            self.newest_began_at = now
            self.times.append(now)
            self.counts.append(cost)

    def wait(self, window: float, now: float) -> float:
        """Return the seconds until the oldest hit leaves the window."""
        return self.times[0] + window - now if self.times else window


class MemoryLimiter:
    """A limiter for one process. It is exact with concurrent threads until it has to evict keys to bound its memory."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._is_crowded = False
        self._hits: dict[str, _Hits] = {}
        self._lock = threading.Lock()
        self._acquire_lock, self._release_lock = self._lock.acquire, self._lock.release

    def acquire(self, key: str, limit: int, window: float, cost: int = 1) -> Decision:
        return Decision.from_raw(limit, self.acquire_raw(key, limit, window, cost))

    def acquire_raw(
        self, key: str, limit: int, window: float, cost: int = 1, pending_sync: bool = False
    ) -> RawDecision:
        """Count `cost` hits unless that exceeds the limit. With `pending_sync`, mark them for a later report to Redis.

        The steps of `_current` and `_Hits.add` are inlined, because this function runs for every request.
        """
        self._acquire_lock()  # Calling the methods is faster than `with self._lock`.
        try:
            now = time.monotonic()
            hits = self._hits.get(key)
            if hits is None or self._is_crowded:
                hits = self._get_or_create(key, window, now)
            times = hits.times
            oldest = times[0] if times else now
            if oldest <= now - window:
                hits.expire(now - window)
                oldest = times[0] if times else now
            total = hits.total + cost
            if total > limit:
                return False, max(0, limit - hits.total), hits.wait(window, now)
            if limit <= MAX_ENTRIES and cost == 1 and hits.counts is None:
                times.append(now)
                hits.total = total
            else:
                hits.add(now, cost, _merge_within(limit, window))
            if pending_sync:
                hits.pending_sync += cost
            return True, limit - total, oldest + window - now
        finally:
            self._release_lock()

    def begin_sync(
        self, key: str, limit: int, window: float, cost: int
    ) -> tuple[RawDecision | None, int]:
        """Check this process's own count before Redis is called, and collect the hits that must be reported to Redis.

        Return (refusal, 0) if this process alone has counted too many hits, else (None, number of hits to report).
        """
        with self._lock:
            now = time.monotonic()
            hits = self._current(key, window, now)
            if hits.total + cost > limit:
                return (False, max(0, limit - hits.total), hits.wait(window, now)), 0
            pending = min(hits.pending_sync, hits.total)
            hits.pending_sync = 0
            return None, pending

    def restore_pending_sync(self, key: str, count: int) -> None:
        """Mark hits from `begin_sync` as pending again because Redis could not be reached."""
        with self._lock:
            if key in self._hits:
                self._hits[key].pending_sync += count

    def add(self, key: str, limit: int, window: float, cost: int) -> None:
        """Add hits that Redis has already allowed."""
        with self._lock:
            now = time.monotonic()
            self._current(key, window, now).add(now, cost, _merge_within(limit, window))

    def _current(self, key: str, window: float, now: float) -> _Hits:
        hits = self._get_or_create(key, window, now)
        hits.expire(now - window)
        return hits

    def _get_or_create(self, key: str, window: float, now: float) -> _Hits:
        all_hits = self._hits
        hits = all_hits.get(key)
        if hits is None:
            if len(all_hits) >= self._max_keys:
                self._evict(now)
            hits = all_hits[key] = _Hits(window)
            self._is_crowded = len(all_hits) > self._max_keys >> 1
        elif self._is_crowded:
            # Reinsert the key, so that the dict is in order of use when keys have to be evicted.
            del all_hits[key]
            all_hits[key] = hits
        hits.window = window
        return hits

    def _evict(self, now: float) -> None:
        """Remove expired keys. If there are none, remove the least recently used tenth of all keys.

        A flood of new keys therefore evicts its own keys before those of regular clients.
        """
        expired = [
            key
            for key, hits in self._hits.items()
            if not hits.times or hits.times[-1] <= now - hits.window
        ]
        for key in expired or list(self._hits)[: max(1, self._max_keys // 10)]:
            del self._hits[key]

    def clear(self) -> None:
        with self._lock:
            self._hits.clear()
            self._is_crowded = False

    def __len__(self) -> int:
        return len(self._hits)


def _merge_within(limit: int, window: float) -> float:
    return window / MAX_ENTRIES if limit > MAX_ENTRIES else 0.0
