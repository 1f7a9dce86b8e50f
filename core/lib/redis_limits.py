"""Count rate-limited hits in Redis, for all processes and hosts together."""

import logging
import math

import redis

from core.lib import redis_link
from core.lib.memory_limits import MAX_ENTRIES, MemoryLimiter, RawDecision

log = logging.getLogger(__name__)

CONNECTIONS_AT_START = 8
_warning_limit = MemoryLimiter(max_keys=1)

# The algorithm of MemoryLimiter in Lua. One key has a list of "began,last,count" entries, newest first; a second key
# has the sum of the counts. `pending` hits, which a process allowed while Redis was unavailable, are added even if they
# exceed the limit.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window, cost, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local pending = tonumber(ARGV[5])
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
local allowed = total + pending + cost <= limit
if allowed then
  pending = pending + cost
end
if pending > 0 then
  total = total + pending
  local entry = limit > most and redis.call('LINDEX', KEYS[1], 0)
  local began, count = now, pending
  if entry then
    local before, sum = string.match(entry, '^(%d+),%d+,(%d+)$')
    if now - before < window / most then
      redis.call('LPOP', KEYS[1])
      began, count = before, sum + pending
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


class RedisLimiter:
    """A limiter that counts in Redis and in `memory`, or in `memory` alone while Redis is unavailable."""

    def __init__(self, url: str, memory: MemoryLimiter) -> None:
        self._memory = memory
        self._redis = redis_link.client(url)
        self._script = self._redis.register_script(_SCRIPT)

    def acquire_raw(self, key: str, limit: int, window: float, cost: int = 1) -> RawDecision:
        if not redis_link.gate.is_shut:
            decision = self._acquire_in_both(key, limit, window, cost)
            if decision is not None:
                return decision
        return self._memory.acquire_raw(key, limit, window, cost, pending_sync=True)

    def warm(self) -> None:
        """Open connections and load the script."""
        pool = self._redis.connection_pool
        try:
            self._redis.script_load(_SCRIPT)
            for connection in [pool.get_connection() for _ in range(CONNECTIONS_AT_START)]:
                pool.release(connection)
        except redis.RedisError as error:
            log.warning("Redis is unavailable at start", extra={"reason": str(error)})

    def _acquire_in_both(
        self, key: str, limit: int, window: float, cost: int
    ) -> RawDecision | None:
        """Count a hit in Redis and in memory. If Redis fails, count nothing in memory and return None."""
        refusal, pending = self._memory.begin_sync(key, limit, window, cost)
        if refusal:
            return refusal
        try:
            decision = self._acquire_in_redis(key, limit, window, cost, pending)
        except redis.RedisError as error:
            if pending:
                self._memory.restore_pending_sync(key, pending)
            if not redis_link.gate.is_degraded and _warning_limit.acquire("", 6, 60).allowed:
                log.warning(
                    "Redis is unavailable; each process counts requests separately",
                    extra={"reason": str(error)},
                )
            return None
        if decision[0]:
            self._memory.add(key, limit, window, cost)
        return decision

    def _acquire_in_redis(
        self, key: str, limit: int, window: float, cost: int, pending: int
    ) -> RawDecision:
        name = f"opsportal:hits:{{{key}}}"
        allowed, remaining, wait_us = self._script(
            (name, f"{name}:sum"),
            (limit, math.ceil(window * 1_000_000), cost, MAX_ENTRIES, pending),
        )
        return bool(allowed), max(0, remaining), wait_us / 1_000_000
