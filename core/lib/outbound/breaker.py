"""Stop calls to a dependency that keeps failing, and then probe it with one call (a circuit breaker).

After 5 failures within 30 s, the breaker opens for 30 s. Then one probe decides whether the breaker closes or stays
open for another 30 s. A missing response and a 5xx count as failures; a 4xx, including 429, does not. Each process
counts its own failures. Processes share the open state through the "shared" cache (Redis, or files on a single machine)
and read it at most once per second.

No library is used, because the libraries that were tried either made parallel calls wait for each other or allowed
every thread to make a probe.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from django.core.cache import caches

from core.lib.outbound.exceptions import Unavailable

log = logging.getLogger(__name__)

FAILURE_THRESHOLD = 5
FAILURE_WINDOW_SECONDS = 30.0
OPEN_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 15.0  # A probe without a result is abandoned after this time.
CACHE_SECONDS = 1.0
# From this number on, idle breakers are removed. Guarded calls have one breaker per host.
MAX_BREAKERS = 1_000
_INDEX = "breakers"


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class BreakerState:
    name: str
    state: State
    failures: int  # The number of failures in this process within FAILURE_WINDOW_SECONDS.
    # The time until the probe in seconds, or None unless the breaker is open.
    retry_after: float | None
    # The Unix time in seconds at which the breaker opened, or None while it is closed.
    opened_at: float | None


@dataclass(frozen=True)
class _Trip:
    """The shared state of an open breaker, in Unix time."""

    opened_at: float
    until: float


class Breaker:
    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._failures: deque[float] = deque()
        self._trip: _Trip | None = None
        self._read_at = 0.0
        self._probe_until = 0.0

    def enter(self) -> bool:
        """Allow a call, and return True if it is the probe. Raises Unavailable while the breaker is open or probing."""
        trip = self._current_trip()
        if trip is None:
            return False
        left = trip.until - time.time()
        if left > 0:
            raise Unavailable(self.name, "not called, because it failed repeatedly", round(left, 1))
        if self._acquire_probe():
            return True
        raise Unavailable(self.name, "not called, because a test call is in progress", 1.0)

    def record_success(self, *, probe: bool) -> None:
        if not probe:
            return
        with self._lock:
            self._failures.clear()
            self._trip = None
            self._probe_until = 0.0
            self._read_at = time.monotonic()
        cache = caches["shared"]
        cache.delete_many([self._key, self._probe_key])
        log.info("breaker closed", extra={"dependency": self.name})

    def record_failure(self, *, probe: bool) -> None:
        now = time.monotonic()
        with self._lock:
            self._failures.append(now)
            self._drop_old_failures(now)
            trips = probe or (self._trip is None and len(self._failures) >= FAILURE_THRESHOLD)
            if trips:
                wall_time = time.time()
                opened_at = self._trip.opened_at if self._trip else wall_time
                self._trip = trip = _Trip(opened_at, wall_time + OPEN_SECONDS)
                self._probe_until = 0.0
                self._read_at = now
        if trips:
            cache = caches["shared"]
            # The entry outlives the open time, so that the first call after that time is the probe.
            cache.set(self._key, (trip.opened_at, trip.until), timeout=3600)
            cache.delete(self._probe_key)
            names = set(cache.get(_INDEX) or ())
            if self.name not in names:
                cache.set(_INDEX, sorted(names | {self.name}), timeout=None)
            log.warning("breaker opened", extra={"dependency": self.name})

    def abandon_probe(self) -> None:
        """Give up this process's probe without a result, so that the next call becomes the probe."""
        with self._lock:
            self._probe_until = 0.0
        caches["shared"].delete(self._probe_key)

    def state(self) -> BreakerState:
        trip = self._current_trip()
        with self._lock:
            self._drop_old_failures(time.monotonic())
            failures = len(self._failures)
        if trip is None:
            return BreakerState(self.name, State.CLOSED, failures, None, None)
        left = trip.until - time.time()
        if left > 0:
            return BreakerState(self.name, State.OPEN, failures, round(left, 1), trip.opened_at)
        return BreakerState(self.name, State.HALF_OPEN, failures, None, trip.opened_at)

    @property
    def is_idle(self) -> bool:
        return self._trip is None and not self._failures

    @property
    def _key(self) -> str:
        return f"breaker.{self.name}"

    @property
    def _probe_key(self) -> str:
        return f"breaker-probe.{self.name}"

    def _current_trip(self) -> _Trip | None:
        now = time.monotonic()
        with self._lock:
            if now - self._read_at < CACHE_SECONDS:
                return self._trip
            # Set the time before the cache is read, so that other threads do not read the cache too.
            self._read_at = now
        shared = caches["shared"].get(self._key)
        with self._lock:
            if shared:
                self._trip = _Trip(*shared)
            elif self._trip and self._trip.until < time.time() - CACHE_SECONDS - OPEN_SECONDS:
                # Another process has closed the breaker. Before this time, a missing entry might only mean that the
                # cache is unavailable, so the process keeps its own state.
                self._trip = None
            return self._trip

    def _acquire_probe(self) -> bool:
        now = time.monotonic()
        with self._lock:
            if now < self._probe_until:
                return False
            self._probe_until = now + PROBE_TIMEOUT_SECONDS
        cache = caches["shared"]
        if cache.add(self._probe_key, 1, timeout=PROBE_TIMEOUT_SECONDS):
            return True
        # Another process makes the probe if the cache has an entry. If the cache is unavailable, `get` returns None,
        # and this process makes the probe.
        return cache.get(self._probe_key) is None

    def _drop_old_failures(self, now: float) -> None:
        while self._failures and self._failures[0] < now - FAILURE_WINDOW_SECONDS:
            self._failures.popleft()


_breakers: dict[str, Breaker] = {}
_breakers_lock = threading.Lock()


def breaker_for(name: str) -> Breaker:
    try:
        return _breakers[name]
    except KeyError:
        pass
    with _breakers_lock:
        if len(_breakers) >= MAX_BREAKERS:
            for idle in [known for known, breaker in _breakers.items() if breaker.is_idle]:
                del _breakers[idle]
        return _breakers.setdefault(name, Breaker(name))


def breaker_states() -> list[BreakerState]:
    """Return the states of all breakers of this process, and of all that any process has opened, sorted by name."""
    names = {*_breakers, *(caches["shared"].get(_INDEX) or ())}
    return [breaker_for(name).state() for name in sorted(names)]


def reset_all() -> None:
    """Close and remove every breaker. Only tests call this."""
    _breakers.clear()
    cache = caches["shared"]
    cache.delete_many(
        [_INDEX]
        + [
            f"{kind}.{name}"
            for name in cache.get(_INDEX) or ()
            for kind in ("breaker", "breaker-probe")
        ]
    )
