"""Limit rates over a sliding window: `acquire(key, limit, window_seconds)`.

No window of the given length contains more hits than the limit, wherever the window begins; a refused hit does not
count. With Redis, all processes and hosts share one count, which uses Redis's clock and takes one round trip. Without
Redis, each process counts separately.

While Redis is unavailable, each process counts separately as well, and reports these hits when Redis is available
again. Each process always enforces the limit by its own count too, so that a loss of data in Redis does not raise the
limit for a process.

The `limits` package is not used: it needs a second round trip for the remaining hits, and its Redis storage uses each
host's clock.
"""

from functools import cache
from typing import Protocol

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from core.lib import background
from core.lib.memory_limits import Decision, MemoryLimiter, RawDecision


class Limiter(Protocol):
    def acquire_raw(self, key: str, limit: int, window: float, cost: int = 1, /) -> RawDecision: ...


memory = MemoryLimiter()

# redis_limits and redis_link are imported only if REDIS_URL is set, because the Redis client needs much memory.


@cache  # Cached, because every rate-limited request calls this, and settings are slow to read.
def limiter() -> Limiter:
    """Return the limiter that uses REDIS_URL, or this process's memory if REDIS_URL is empty."""
    if not settings.REDIS_URL:
        return memory
    from core.lib.redis_limits import RedisLimiter

    return RedisLimiter(settings.REDIS_URL, memory)


def acquire(key: str, limit: int, window_seconds: float, *, cost: int = 1) -> Decision:
    """Count `cost` uses of `key` unless that exceeds `limit` within the window.

    Different limits need different keys. The call never raises. Each of its waits for Redis (to connect, and for a
    response) takes at most `redis_link.TIMEOUT_SECONDS`.
    """
    return Decision.from_raw(limit, limiter().acquire_raw(key, limit, window_seconds, cost))


def is_degraded() -> bool:
    """Return True if Redis is configured but unavailable, so that each process counts separately."""
    if not settings.REDIS_URL:
        return False
    from core.lib import redis_link

    return redis_link.gate.is_degraded


@background.chore("redis: health probe", seconds=1)
def probe_redis() -> None:
    if settings.REDIS_URL:
        from core.lib import redis_link

        redis_link.probe(settings.REDIS_URL)


def warm() -> None:
    """Connect to Redis before this process serves, because its first requests may all arrive at once."""
    if settings.REDIS_URL:
        from core.lib.redis_limits import RedisLimiter

        current = limiter()
        assert isinstance(current, RedisLimiter)
        current.warm()


@receiver(setting_changed)
def _reset_limiter(*, setting: str, **_: object) -> None:
    """Select the limiter again when a test overrides REDIS_URL."""
    if setting == "REDIS_URL":
        limiter.cache_clear()
