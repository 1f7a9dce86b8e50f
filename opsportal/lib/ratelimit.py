"""How often something may happen: `hit(key, limit, window_seconds)` under a moving window.

In no window of the given length are there more hits than the limit, wherever the window begins; a refused hit does
not count. With Redis all processes and hosts count together, by Redis's clock, in one round trip; otherwise, and while
Redis is away, each process counts for itself.

The `limits` package was measured first: its memory storage never forgets a key it has seen (an address an attacker
rotates stays for ever) and walks all of them in a new thread every 10 ms; its Redis storage goes by each host's own
clock and needs a second round trip for what remains.
"""

import math
import threading
import time
from collections import deque
from typing import NamedTuple

import redis
from django.conf import settings

from opsportal.lib import redis_link

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


def hit(key: str, limit: int, window_seconds: float, *, cost: int = 1) -> Verdict:
    """Counts one more use of `key` (or `cost` at once) unless that is more than `limit` within the window.

    Different limits need different keys. Never raises, and never waits long: see `degraded`.
    """
    if settings.REDIS_URL and not redis_link.gate.is_shut:
        try:
            return _hit_in_redis(key, limit, window_seconds, cost)
        except redis.RedisError:
            pass  # the gate knows
    return memory.hit(key, limit, window_seconds, cost)


def degraded() -> bool:
    """Whether Redis is configured but away, so that each process counts for itself."""
    return bool(settings.REDIS_URL) and redis_link.gate.is_degraded


class _Log:
    """The hits of one key, oldest first: when, and how many each stands for where that is not one."""

    __slots__ = ("began", "counts", "times", "total", "window")

    def __init__(self, window: float) -> None:
        self.times: deque[float] = deque()
        self.counts: deque[int] | None = None
        self.began = 0.0  # the newest entry's first hit
        self.total = 0
        self.window = window

    def forget_until(self, moment: float) -> None:
        times, counts = self.times, self.counts
        while times and times[0] <= moment:
            times.popleft()
            self.total -= counts.popleft() if counts else 1

    def add(self, now: float, cost: int, apart: float) -> None:
        """Into the newest entry if that began less than `apart` ago, which then is as old as its youngest hit."""
        self.total += cost
        if not apart and cost == 1 and self.counts is None:
            self.times.append(now)
            return
        if self.counts is None:
            self.counts = deque([1] * len(self.times))
        if self.times and apart and now - self.began < apart:
            self.times[-1] = now
            self.counts[-1] += cost
        else:
            self.began = now
            self.times.append(now)
            self.counts.append(cost)


class Memory:
    """The limiter of one process: exact under threads, bounded in memory."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._most_keys = most_keys
        self._logs: dict[str, _Log] = {}
        self._lock = threading.Lock()

    def hit(self, key: str, limit: int, window: float, cost: int = 1) -> Verdict:
        with self._lock:
            now = time.monotonic()
            # Taken out and put in again, so that the dict stays in the order of use.
            log_ = self._logs.pop(key, None)
            if log_ is None:
                if len(self._logs) >= self._most_keys:
                    self._make_room(now)
                log_ = _Log(window)
            self._logs[key] = log_
            log_.window = window
            times = log_.times
            if times and times[0] <= now - window:
                log_.forget_until(now - window)
            allowed = log_.total + cost <= limit
            if allowed:
                log_.add(now, cost, window / MOST_ENTRIES if limit > MOST_ENTRIES else 0.0)
            wait = times[0] + window - now if times else window
            remaining = limit - log_.total
        return Verdict(
            allowed,
            limit,
            remaining if remaining > 0 else 0,
            time.time() + wait,
            0.0 if allowed else wait,
        )

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

    def __len__(self) -> int:
        return len(self._logs)


memory = Memory()


# The same as Memory.hit: entries "began,last,count" in a list, newest first, and their sum beside it.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window, cost, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local total = tonumber(redis.call('GET', KEYS[2]) or '0')
local oldest
while true do
  local entry = redis.call('LINDEX', KEYS[1], -1)
  if not entry then total = 0 oldest = nil break end
  local last, count = string.match(entry, ',(%d+),(%d+)$')
  oldest = tonumber(last)
  if oldest > now - window then break end
  redis.call('RPOP', KEYS[1])
  total = total - count
end
local allowed = total + cost <= limit
if allowed then
  total = total + cost
  local entry = limit > most and redis.call('LINDEX', KEYS[1], 0)
  local began, count = now, cost
  if entry then
    local before, sum = string.match(entry, '^(%d+),%d+,(%d+)$')
    if now - before < window / most then
      redis.call('LPOP', KEYS[1])
      began, count = before, sum + cost
    end
  end
  redis.call('LPUSH', KEYS[1], string.format('%.0f,%.0f,%.0f', began, now, count))
  oldest = oldest or now
  redis.call('SET', KEYS[2], string.format('%.0f', total), 'PX', math.ceil(window / 1000))
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
end
local wait = oldest and oldest + window - now or window
return {allowed and 1 or 0, limit - total, wait}
"""


_redis: redis.Redis | None = None
_redis_url = ""


def _hit_in_redis(key: str, limit: int, window: float, cost: int) -> Verdict:
    global _redis, _redis_url
    if _redis is None or _redis_url != settings.REDIS_URL:
        _redis = redis_link.client(settings.REDIS_URL)
        _redis_url = settings.REDIS_URL
    name = f"opsportal:hits:{{{key}}}"
    allowed, remaining, wait_us = _redis.eval(
        _SCRIPT, 2, name, f"{name}:sum", limit, math.ceil(window * 1_000_000), cost, MOST_ENTRIES
    )
    wait = wait_us / 1_000_000
    return Verdict(
        bool(allowed), limit, max(0, remaining), time.time() + wait, 0.0 if allowed else wait
    )
