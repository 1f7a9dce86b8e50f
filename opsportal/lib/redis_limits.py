"""The counters in Redis that all processes and hosts share, for `opsportal.lib.ratelimit`."""

import logging
import math

import redis
from django.conf import settings
from redis.commands.core import Script

from opsportal.lib import redis_link
from opsportal.lib.ratelimit import MOST_ENTRIES, Memory, Taken, memory

log = logging.getLogger(__name__)

CONNECTIONS_AT_START = 8
_pace = Memory(most_keys=1)  # of our own warnings


def take(key: str, limit: int, window_seconds: float, cost: int = 1) -> Taken:
    if not redis_link.gate.is_shut:
        answer = _take_in_both(key, limit, window_seconds, cost)
        if answer is not None:
            return answer
    return memory.take(key, limit, window_seconds, cost, True)


def _take_in_both(key: str, limit: int, window: float, cost: int) -> Taken | None:
    """None when Redis did not answer, and then nothing is counted here."""
    refused, owed = memory.look(key, limit, window, cost)
    if refused:
        return refused
    try:
        answer = _take_in_redis(key, limit, window, cost, owed)
    except redis.RedisError as error:
        if owed:
            memory.owe(key, owed)
        if not redis_link.gate.is_degraded and _pace.hit("", 6, 60).allowed:
            log.warning("a limit was counted in this process only", extra={"reason": str(error)})
        return None
    if answer[0]:
        memory.add(key, limit, window, cost)
    return answer


def warm() -> None:
    """Connect and load the script."""
    client = _script().registered_client
    assert isinstance(client, redis.Redis)
    pool = client.connection_pool
    try:
        client.script_load(_SCRIPT)
        for connection in [pool.get_connection() for _ in range(CONNECTIONS_AT_START)]:
            pool.release(connection)
    except redis.RedisError as error:
        log.warning("Redis does not answer at the start", extra={"reason": str(error)})


# The same as Memory.take: entries "began,last,count" in a list, newest first, and their sum beside it. What a process
# allowed without asking goes in first, over the limit or not.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window, cost, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local owed = tonumber(ARGV[5])
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
local allowed = total + owed + cost <= limit
if allowed then
  owed = owed + cost
end
if owed > 0 then
  total = total + owed
  local entry = limit > most and redis.call('LINDEX', KEYS[1], 0)
  local began, count = now, owed
  if entry then
    local before, sum = string.match(entry, '^(%d+),%d+,(%d+)$')
    if now - before < window / most then
      redis.call('LPOP', KEYS[1])
      began, count = before, sum + owed
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


_scripts: dict[str, Script] = {}  # by Redis's address


def _script() -> Script:
    script = _scripts.get(settings.REDIS_URL)
    if script is None:
        script = redis_link.client(settings.REDIS_URL).register_script(_SCRIPT)
        script = _scripts.setdefault(settings.REDIS_URL, script)
    return script


def _take_in_redis(key: str, limit: int, window: float, cost: int, owed: int) -> Taken:
    name = f"opsportal:hits:{{{key}}}"
    allowed, remaining, wait_us = _script()(
        (name, f"{name}:sum"), (limit, math.ceil(window * 1_000_000), cost, MOST_ENTRIES, owed)
    )
    return bool(allowed), max(0, remaining), wait_us / 1_000_000
