"""Circuit breakers: a dependency that keeps failing is left alone for a while, then tried with exactly one call.

Closed → 5 failures within 30 s → open for 30 s → one probe → closed again, or open for another 30 s. What counts as
a failure is no answer or a 5xx; a 4xx or a 429 is an answer. Each process counts for itself; that a breaker is open
is told to all processes through the "shared" cache (Redis, or files on a single machine), read at most once a second.
The libraries that were tried made parallel calls wait for each other, or let every thread through when half open.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from django.core.cache import caches

from opsportal.lib.outbound.exceptions import Unavailable

log = logging.getLogger(__name__)

FAILURES = 5
WITHIN = 30.0
OPEN_FOR = 30.0
PROBE_LEASE = 15.0  # after so long a probe that never reported back is given up
FRESH_FOR = 1.0
MOST_BREAKERS = 1_000  # guarded calls have one per host
_INDEX = "breakers"


@dataclass(frozen=True)
class BreakerState:
    name: str
    state: str  # "closed", "open" or "half-open"
    failures: int  # of this process within the last 30 s
    retry_after: float | None  # seconds until the probe, while open
    opened_at: float | None  # time.time()


@dataclass(frozen=True)
class _Trip:
    """That a breaker is open, as all processes see it (wall clock)."""

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
        """Asks to make a call; True when it is the probe. Raises Unavailable while open. Never waits for other calls."""
        trip = self._current_trip()
        if trip is None:
            return False
        left = trip.until - time.time()
        if left > 0:
            raise Unavailable(self.name, "not called: it failed repeatedly", round(left, 1))
        if self._take_probe():
            return True
        raise Unavailable(self.name, "not called: a trial call is under way", 1.0)

    def succeeded(self, *, probe: bool) -> None:
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

    def failed(self, *, probe: bool) -> None:
        now = time.monotonic()
        with self._lock:
            self._failures.append(now)
            self._forget_old(now)
            trips = probe or (self._trip is None and len(self._failures) >= FAILURES)
            if trips:
                wall = time.time()
                opened_at = self._trip.opened_at if self._trip else wall
                self._trip = trip = _Trip(opened_at, wall + OPEN_FOR)
                self._probe_until = 0.0
                self._read_at = now
        if trips:
            cache = caches["shared"]
            # Kept longer than it is open: the first call after that must know to be a probe.
            cache.set(self._key, (trip.opened_at, trip.until), timeout=3600)
            cache.delete(self._probe_key)
            names = set(cache.get(_INDEX) or ())
            if self.name not in names:
                cache.set(_INDEX, sorted(names | {self.name}), timeout=None)
            log.warning("breaker opened", extra={"dependency": self.name})

    def gave_up_probe(self) -> None:
        """The probe ended without saying anything about the dependency: the next call may be it."""
        with self._lock:
            self._probe_until = 0.0
        caches["shared"].delete(self._probe_key)

    def state(self) -> BreakerState:
        trip = self._current_trip()
        with self._lock:
            self._forget_old(time.monotonic())
            failures = len(self._failures)
        if trip is None:
            return BreakerState(self.name, "closed", failures, None, None)
        left = trip.until - time.time()
        if left > 0:
            return BreakerState(self.name, "open", failures, round(left, 1), trip.opened_at)
        return BreakerState(self.name, "half-open", failures, None, trip.opened_at)

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
            if now - self._read_at < FRESH_FOR:
                return self._trip
            self._read_at = now  # other threads need not read too
        told = caches["shared"].get(self._key)
        with self._lock:
            if told:
                self._trip = _Trip(*told)
            elif self._trip and self._trip.until < time.time() - FRESH_FOR - OPEN_FOR:
                # Closed elsewhere. Within that time the cache may just be away, and our own word stands.
                self._trip = None
            return self._trip

    def _take_probe(self) -> bool:
        now = time.monotonic()
        with self._lock:
            if now < self._probe_until:
                return False
            self._probe_until = now + PROBE_LEASE
        cache = caches["shared"]
        if cache.add(self._probe_key, 1, timeout=PROBE_LEASE):
            return True
        # Somebody else's probe, or the cache is away: then it does not have the key either, and this process decides.
        return cache.get(self._probe_key) is None

    def _forget_old(self, now: float) -> None:
        while self._failures and self._failures[0] < now - WITHIN:
            self._failures.popleft()


_breakers: dict[str, Breaker] = {}
_breakers_lock = threading.Lock()


def breaker_for(name: str) -> Breaker:
    try:
        return _breakers[name]
    except KeyError:
        pass
    with _breakers_lock:
        if len(_breakers) >= MOST_BREAKERS:
            for known in [known for known, breaker in _breakers.items() if breaker.is_idle]:
                del _breakers[known]
        return _breakers.setdefault(name, Breaker(name))


def breaker_states() -> list[BreakerState]:
    """Every breaker this process knows and every one that was ever open anywhere, by name."""
    names = {*_breakers, *(caches["shared"].get(_INDEX) or ())}
    return [breaker_for(name).state() for name in sorted(names)]


def forget_all() -> None:
    """For tests: every breaker closed and unknown."""
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
