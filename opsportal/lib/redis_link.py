"""How this process reaches Redis, for the cache and for rate limits alike: quickly, or not at all.

A Redis that swallows packets would cost every call its time limit. After three failures in a row only one call in ten
seconds tries; all others fail at once, which the cache takes as a miss and the limiter as "count here". In a process
that serves requests a chore looks each second (`look_again`), so that none of them pays and Redis is soon found again.
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
        """Before a call. Raises ConnectionError while Redis is away, except to one caller every AWAY_FOR."""
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
    """Every answer and every silence counts, whether while connecting or later."""

    _is_connecting = False

    def connect(
        self,
    ) -> None:  # the pool calls it before each command, also on a connection that stands
        gate.enter()
        if self._sock is not None:  # type: ignore[attr-defined]
            return
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]  # of the connection class beside this one
        except redis.RedisError:
            gate.failed()
            raise
        finally:
            self._is_connecting = False
        gate.worked()

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            response = super().read_response(*args, **options)  # type: ignore[misc]
        except (redis.ConnectionError, redis.TimeoutError):
            if not self._is_connecting:
                gate.failed()
            raise
        gate.worked()
        return response


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
        "driver_info": None,  # two round trips less for each new connection
    }


def client(url: str) -> redis.Redis:
    pool = redis.ConnectionPool.from_url(url, **connection_options(url))
    # parse_url() names its own class for rediss:// and wins; ours must.
    pool.connection_class = connection_options(url)["connection_class"]
    return redis.Redis(connection_pool=pool)


def look_again(url: str) -> None:
    """While Redis is away: open the gate if it answers now. Waits as long as a call may, so it is no request's to do."""
    if not gate.is_degraded:
        return
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "driver_info": None}
    pool = redis.ConnectionPool.from_url(url, **options)  # past the gate
    try:
        redis.Redis(connection_pool=pool).ping()
    except redis.RedisError:
        gate.failed()
    else:
        gate.worked()
    finally:
        pool.disconnect()
