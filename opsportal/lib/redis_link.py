"""How this process reaches Redis, for the cache and for rate limits alike: quickly, or not at all.

A Redis that swallows packets would cost every call its time limit. After three failures in a row only one call in ten
seconds tries to connect; all others fail at once, which the cache takes as a miss and the limiter as "count here".
"""

import logging
import threading
import time
from typing import Any

import redis
from redis.connection import Connection, SSLConnection

log = logging.getLogger(__name__)

TIMEOUT = 0.2  # seconds, for connecting and for each answer
FAILURES_UNTIL_AWAY = 3
AWAY_FOR = 10.0


class Gate:
    """Whether Redis is worth asking now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._ask_again_at = 0.0

    @property
    def is_degraded(self) -> bool:
        """Redis is away, or nobody has reached it since it was."""
        return self._failures >= FAILURES_UNTIL_AWAY

    @property
    def is_shut(self) -> bool:
        return self.is_degraded and time.monotonic() < self._ask_again_at

    def enter(self) -> None:
        """Before connecting. Raises ConnectionError while Redis is away, except to one caller every AWAY_FOR."""
        if not self.is_degraded:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._ask_again_at:
                raise redis.ConnectionError("Redis did not answer a moment ago")
            self._ask_again_at = now + AWAY_FOR

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if not self.is_degraded:
                return
            self._ask_again_at = time.monotonic() + AWAY_FOR
            is_news = self._failures == FAILURES_UNTIL_AWAY
        if is_news:
            log.warning("Redis is away: limits are counted in each process, nothing is cached")

    def worked(self) -> None:
        if not self._failures:
            return
        with self._lock:
            is_news = self.is_degraded
            self._failures = 0
        if is_news:
            log.info("Redis is back")


gate = Gate()


class _Guarded:
    def connect(self) -> None:
        gate.enter()
        try:
            super().connect()  # type: ignore[misc]  # of the connection class beside this one
        except redis.RedisError:
            gate.failed()
            raise
        gate.worked()


class GuardedConnection(_Guarded, Connection):
    pass


class GuardedSSLConnection(_Guarded, SSLConnection):
    pass


def connection_options(url: str) -> dict[str, Any]:
    """What a connection pool for `url` is made with: short time limits, no retries, the gate."""
    is_tls = url.startswith("rediss:")
    return {
        "connection_class": GuardedSSLConnection if is_tls else GuardedConnection,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
    }


def client(url: str) -> redis.Redis:
    pool = redis.ConnectionPool.from_url(url, **connection_options(url))
    # parse_url() names its own class for rediss:// and wins; ours must.
    pool.connection_class = connection_options(url)["connection_class"]
    return redis.Redis(connection_pool=pool)
