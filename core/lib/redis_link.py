"""Connect to Redis in a way that fails early, for the cache and for rate limits.

If a Redis server drops packets, every call would wait for its full timeout. Therefore, after three consecutive
failures, only one call in ten seconds is attempted, and all others fail immediately: the cache treats them as misses,
and the rate limiter counts per process. In processes that serve requests, a chore probes Redis every second, so that no
request waits for an attempt, and Redis is used again soon after it recovers.
"""

import logging
import threading
import time
from typing import Any

import redis
from redis.connection import Connection, SSLConnection

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.2  # The time limit in seconds for connecting, and for each response.
FAILURE_THRESHOLD = 3
RETRY_INTERVAL_SECONDS = 10.0


class Gate:
    """A circuit breaker for Redis. Unlike the other breakers, it cannot keep its state in Redis, so it uses memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_degraded(self) -> bool:
        """Return True from the third consecutive failure until a call succeeds."""
        return self._failures >= FAILURE_THRESHOLD

    @property
    def is_shut(self) -> bool:
        return self.is_degraded and time.monotonic() < self._retry_at

    def enter(self) -> None:
        """Raise ConnectionError if a call must not be attempted now.

        While Redis counts as degraded, one call per RETRY_INTERVAL_SECONDS is attempted.
        """
        if not self.is_degraded:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._retry_at:
                raise redis.ConnectionError("not attempted: Redis failed recently")
            self._retry_at = now + RETRY_INTERVAL_SECONDS

    def record_failure(self) -> None:
        with self._lock:
            self._failures += 1
            if not self.is_degraded:
                return
            self._retry_at = time.monotonic() + RETRY_INTERVAL_SECONDS
            has_just_failed = self._failures == FAILURE_THRESHOLD
        if has_just_failed:
            log.warning(
                "Redis is unavailable; each process counts requests separately, and nothing is cached"
            )

    def record_success(self) -> None:
        if not self._failures:
            return
        with self._lock:
            was_degraded = self.is_degraded
            self._failures = 0
        if was_degraded:
            log.info("Redis is available again")


gate = Gate()


class _Guarded:
    """A mixin that reports the success or failure of each connection attempt and command to the gate."""

    _is_connecting = False

    def connect(self) -> None:
        """Connect if the connection is not open. The pool calls this before each command."""
        gate.enter()
        if self.is_connected:  # type: ignore[attr-defined]
            return
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]  # defined by the class this is mixed into
        except redis.RedisError:
            gate.record_failure()
            raise
        finally:
            self._is_connecting = False
        gate.record_success()

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            response = super().read_response(*args, **options)  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError):
            if not self._is_connecting:
                gate.record_failure()
            raise
        gate.record_success()
        return response


class GuardedConnection(_Guarded, Connection):
    pass


class GuardedSSLConnection(_Guarded, SSLConnection):
    pass


def connection_options(url: str) -> dict[str, Any]:
    """Return the connection pool options for `url`: short timeouts, no retries, and the gate."""
    is_tls = url.startswith("rediss:")
    return {
        "connection_class": GuardedSSLConnection if is_tls else GuardedConnection,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "driver_info": None,  # Do not send client information, which saves two round trips per new connection.
    }


def client(url: str) -> redis.Redis:
    pool = redis.ConnectionPool.from_url(url, **connection_options(url))
    # from_url() has replaced the class for rediss:// URLs, so it is set again.
    pool.connection_class = connection_options(url)["connection_class"]
    return redis.Redis(connection_pool=pool)


def probe(url: str) -> None:
    """Call Redis if the gate counts it as degraded, so that a success opens the gate again.

    The call may wait for Redis, so requests must not make it.
    """
    if not gate.is_degraded:
        return
    options = connection_options(url)
    # A probe must bypass the gate, which would refuse it, so it uses redis-py's own connection class.
    del options["connection_class"]
    pool = redis.ConnectionPool.from_url(url, **options)
    try:
        redis.Redis(connection_pool=pool).ping()
    except redis.RedisError:
        gate.record_failure()
    else:
        gate.record_success()
    finally:
        pool.disconnect()
