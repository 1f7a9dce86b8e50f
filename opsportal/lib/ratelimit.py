"""How often something may happen: `hit(key, limit, window_seconds)` under a moving window.

In no window of the given length are there more hits than the limit, wherever the window begins; a refused hit does
not count. With Redis all processes and hosts count together, by Redis's clock, in one round trip; otherwise, and while
Redis is away, each process counts for itself. It does so beside Redis too: what it has allowed by itself it tells Redis
with the next hit, and it never allows more than the limit of its own, whatever Redis forgot.

The `limits` package was measured first: its memory storage never forgets a key it has seen (an address an attacker
rotates stays for ever) and walks all of them in a new thread every 10 ms; its Redis storage goes by each host's own
clock and needs a second round trip for what remains.
"""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from opsportal.lib import background

log = logging.getLogger(__name__)

MOST_KEYS = 100_000
# Up to this limit each hit is remembered on its own; above it, hits within a thousandth of the window are one entry,
# which leaves the window with its youngest hit: never more than the limit, and a million a day cost no memory.
MOST_ENTRIES = 1_000


class Verdict(NamedTuple):
    allowed: bool
    limit: int
    remaining: int
    reset_at: float  # time.time() at which the oldest hit leaves the window
    retry_after: float  # seconds to wait; 0 when allowed

    @classmethod
    def of(cls, limit: int, taken: "Taken") -> "Verdict":
        allowed, remaining, wait = taken
        return cls(allowed, limit, remaining, time.time() + wait, 0.0 if allowed else wait)


# Whether it was allowed, how many remain, seconds until the oldest hit leaves the window: a verdict that costs nothing.
Taken = tuple[bool, int, float]


def hit(key: str, limit: int, window_seconds: float, *, cost: int = 1) -> Verdict:
    """Counts one more use of `key` (or `cost` at once) unless that is more than `limit` within the window.

    Different limits need different keys. Never raises, and never waits long: see `degraded`.
    """
    return Verdict.of(limit, take(key, limit, window_seconds, cost))


# Only where there is a Redis is its client imported, which takes 5 MB.


def degraded() -> bool:
    """Whether Redis is configured but away, so that each process counts for itself."""
    if not settings.REDIS_URL:
        return False
    from opsportal.lib import redis_link

    return redis_link.gate.is_degraded


@background.chore("redis: whether it is back", seconds=1)
def look_again() -> None:
    if settings.REDIS_URL:
        from opsportal.lib import redis_link

        redis_link.look_again(settings.REDIS_URL)


def warm() -> None:
    """Connect to Redis, for a process that is about to serve: its first requests come all at once."""
    if settings.REDIS_URL:
        from opsportal.lib import redis_limits

        redis_limits.warm()


class _Log:
    """The hits of one key, oldest first: when, and how many each stands for where that is not one."""

    __slots__ = ("began", "counts", "owed", "times", "total", "window")

    def __init__(self, window: float) -> None:
        self.times: list[
            float
        ] = []  # a deque costs seven times as much for an address that calls once
        self.counts: list[int] | None = None
        self.began = 0.0  # the newest entry's first hit
        self.total = 0
        self.owed = 0  # how many of them Redis does not know
        self.window = window

    def forget_until(self, moment: float) -> None:
        gone = bisect_right(self.times, moment)
        del self.times[:gone]
        if self.counts is None:
            self.total -= gone
        else:
            self.total -= sum(self.counts[:gone])
            del self.counts[:gone]

    def add(self, now: float, cost: int, apart: float) -> None:
        """Into the newest entry if that began less than `apart` ago, which then is as old as its youngest hit."""
        self.total += cost
        if not apart and cost == 1 and self.counts is None:
            self.times.append(now)
            return
        if self.counts is None:
            self.counts = [1] * len(self.times)
        if self.times and apart and now - self.began < apart:
            self.times[-1] = now
            self.counts[-1] += cost
        else:
            self.began = now
            self.times.append(now)
            self.counts.append(cost)

    def wait(self, window: float, now: float) -> float:
        """Seconds until the oldest hit leaves the window."""
        return self.times[0] + window - now if self.times else window


class Memory:
    """The limiter of one process: exact under threads, bounded in memory."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._most_keys = most_keys
        self._is_crowded = False
        self._logs: dict[str, _Log] = {}
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release

    def hit(self, key: str, limit: int, window: float, cost: int = 1) -> Verdict:
        return Verdict.of(limit, self.take(key, limit, window, cost))

    def take(
        self, key: str, limit: int, window: float, cost: int = 1, owing: bool = False
    ) -> Taken:
        """`owing`: Redis has not been asked, and is to be told.

        Written out rather than put together: this is half of what a limit costs each request.
        """
        self._acquire()  # half of what `with self._lock` costs
        try:
            now = time.monotonic()
            log_ = self._logs.get(key)
            if log_ is None or self._is_crowded:
                log_ = self._log(key, window, now)
            times = log_.times
            oldest = times[0] if times else now
            if oldest <= now - window:
                log_.forget_until(now - window)
                oldest = times[0] if times else now
            total = log_.total + cost
            if total > limit:
                return False, max(0, limit - log_.total), log_.wait(window, now)
            if limit <= MOST_ENTRIES and cost == 1 and log_.counts is None:
                times.append(now)  # what _Log.add does
                log_.total = total
            else:
                log_.add(now, cost, window / MOST_ENTRIES if limit > MOST_ENTRIES else 0.0)
            if owing:
                log_.owed += cost
            return True, limit - total, oldest + window - now
        finally:
            self._release()

    def look(self, key: str, limit: int, window: float, cost: int) -> tuple[Taken | None, int]:
        """The refusal, if by what is counted here alone there must be one; otherwise what is owed to Redis, which
        whoever asks now has to tell."""
        with self._lock:
            now = time.monotonic()
            log_ = self._current(key, window, now)
            if log_.total + cost > limit:
                return (False, max(0, limit - log_.total), log_.wait(window, now)), 0
            owed = min(log_.owed, log_.total)
            log_.owed = 0
            return None, owed

    def add(self, key: str, limit: int, window: float, cost: int) -> None:
        """What Redis has allowed."""
        with self._lock:
            now = time.monotonic()
            apart = window / MOST_ENTRIES if limit > MOST_ENTRIES else 0.0
            self._current(key, window, now).add(now, cost, apart)

    def owe(self, key: str, cost: int) -> None:
        with self._lock:
            if key in self._logs:
                self._logs[key].owed += cost

    def _current(self, key: str, window: float, now: float) -> _Log:
        """Without what has left the window."""
        log_ = self._log(key, window, now)
        log_.forget_until(now - window)
        return log_

    def _log(self, key: str, window: float, now: float) -> _Log:
        logs = self._logs
        log_ = logs.get(key)
        if log_ is None:
            if len(logs) >= self._most_keys:
                self._make_room(now)
            log_ = logs[key] = _Log(window)
            self._is_crowded = len(logs) > self._most_keys >> 1
        elif self._is_crowded:
            # Taken out and put in again: where room may have to be made, the dict stays in the order of use.
            del logs[key]
            logs[key] = log_
        log_.window = window
        return log_

    def _make_room(self, now: float) -> None:
        gone = [
            key
            for key, log_ in self._logs.items()
            if not log_.times or log_.times[-1] <= now - log_.window
        ]
        # Nothing to forget: then those that were quiet longest, so that a flood of keys pushes out itself, not others.
        for key in gone or list(self._logs)[: max(1, self._most_keys // 10)]:
            del self._logs[key]

    def clear(self) -> None:
        with self._lock:
            self._logs.clear()
            self._is_crowded = False

    def __len__(self) -> int:
        return len(self._logs)


memory = Memory()


def _take_first(key: str, limit: int, window: float, cost: int) -> Taken:
    """Chooses once: asking the settings costs as much as half a hit."""
    global take
    take = memory.take
    if settings.REDIS_URL:
        from opsportal.lib import redis_limits

        take = redis_limits.take
    return take(key, limit, window, cost)


# What `hit` does, as bare as it can be, for the middleware, which asks with every request.
take: Callable[[str, int, float, int], Taken] = _take_first


@receiver(setting_changed)
def _choose_again(*, setting: str, **_: object) -> None:
    global take
    if setting == "REDIS_URL":  # in tests
        take = _take_first
