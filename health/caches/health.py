"""Cache the health of the portal in this process.

A scheduled task runs all checks once a minute and stores the results, which the cache loads. If results are older than
`max_age`, the cache runs their checks in a background thread. A caller waits at most `timeout` seconds for this
refresh, and then gets the last known results. The cache also works while the database is unavailable.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connections

from health import verdict
from health.checking import runner
from health.extension_points import Check, health_checks
from health.models import ComponentKind
from health.queries.components import load_states
from health.verdict import Result, State, Status

log = logging.getLogger(__name__)

DATABASE_CHECK = "database"
MAX_AGE = timedelta(seconds=settings.HEALTH_FRESH_SECONDS)
# A critical check without a result for this long counts as down, even if its last result was good.
STALE_AFTER = timedelta(seconds=60)


@dataclass(frozen=True)
class ComponentHealth:
    name: str
    title: str
    is_required: bool
    # True for the portal's own checks, which the code registers. False for all other components.
    is_check: bool
    state: State


@dataclass(frozen=True)
class HealthSnapshot:
    """The overall status with the components that determine it."""

    status: Status
    components: tuple[ComponentHealth, ...]
    at: datetime

    @property
    def is_database_up(self) -> bool:
        return all(
            component.state.result.status is not Status.UNHEALTHY
            for component in self.components
            if component.name == DATABASE_CHECK
        )


class HealthCache:
    def __init__(self, *, names: tuple[str, ...] = (), max_age: timedelta = MAX_AGE) -> None:
        """Cache the health of all components.

        With `names`, cache only these checks, and run them instead of loading stored results.
        """
        self._names = names
        self._max_age = max_age
        self._lock = threading.Lock()
        self._components: dict[str, ComponentHealth] = {}
        self._refreshed_at: datetime | None = None
        self._refreshing: threading.Event | None = None

    def read(self, *, now: datetime, timeout: float) -> HealthSnapshot:
        """Return the current health, or the last known health if a refresh takes longer than `timeout` seconds."""
        with self._lock:
            age = now - self._refreshed_at if self._refreshed_at else None
            if age is not None and timedelta() <= age <= self._max_age:
                done = None
            elif self._refreshing is None:
                done = self._refreshing = threading.Event()
                threading.Thread(
                    target=self._refresh, args=(now, done), name="health cache", daemon=True
                ).start()
            else:
                done = self._refreshing
        if done is not None:
            done.wait(timeout)
        return self._snapshot(now)

    def clear(self) -> None:
        with self._lock:
            self._components, self._refreshed_at = {}, None

    def _checks(self) -> list[Check]:
        return [check for check in health_checks if not self._names or check.name in self._names]

    def _snapshot(self, now: datetime) -> HealthSnapshot:
        with self._lock:
            components = dict(self._components)
        for check in self._checks():
            known = components.get(check.name)
            if known is None:
                state = _without_result(now, Status.UNKNOWN, "no result yet")
                components[check.name] = _health_of(check, state)
            elif check.critical and now - known.state.result.at > STALE_AFTER:
                message = f"no result since {known.state.result.at:%H:%M:%S} UTC"
                state = _without_result(now, Status.UNHEALTHY, message)
                components[check.name] = _health_of(check, state)
        ordered = tuple(sorted(components.values(), key=lambda c: (not c.is_required, c.name)))
        status = verdict.overall_status((c.is_required, c.state.status) for c in ordered)
        return HealthSnapshot(status, ordered, now)

    def _refresh(self, now: datetime, done: threading.Event) -> None:
        started = time.monotonic()
        try:
            every_check = self._checks()
            # Run the database check first. If it succeeds, the stored results may make other checks unnecessary.
            first = [check for check in every_check if check.name == DATABASE_CHECK or self._names]
            for check, result in runner.run(first, now=now):
                self._store(check, result)
                if result.status is Status.HEALTHY and not self._names:
                    self._load_stored_states()
            rest = [
                check
                for check in every_check
                if check not in first and not self._is_fresh(check.name, now)
            ]
            for check, result in runner.run(rest, now=now):
                self._store(check, result)
        except Exception:
            log.exception("the health cache could not be refreshed")
        finally:
            with self._lock:
                self._refreshed_at = now + timedelta(seconds=time.monotonic() - started)
                self._refreshing = None
            done.set()
            connections.close_all()

    def _is_fresh(self, name: str, now: datetime) -> bool:
        with self._lock:
            known = self._components.get(name)
        return known is not None and now - known.state.result.at <= self._max_age

    def _store(self, check: Check, result: Result) -> None:
        with self._lock:
            known = self._components.get(check.name)
            state = verdict.next_state(
                known.state if known else None,
                result,
                fail_after=check.fail_after,
                recover_after=check.recover_after,
            )
            self._components[check.name] = _health_of(check, state)

    def _load_stored_states(self) -> None:
        stored = load_states()
        registered: Mapping[str, Check] = {check.name: check for check in self._checks()}
        with self._lock:
            for name, (component, state) in stored.items():
                known = self._components.get(name)
                if name in registered:
                    if known is None or known.state.result.at < state.result.at:
                        self._components[name] = _health_of(registered[name], state)
                elif component.kind != ComponentKind.CHECK:
                    self._components[name] = ComponentHealth(
                        name, component.title, component.is_required, False, state
                    )
            for name in [n for n in self._components if n not in stored and n not in registered]:
                del self._components[name]


def _health_of(check: Check, state: State) -> ComponentHealth:
    return ComponentHealth(check.name, check.summary, check.critical, True, state)


def _without_result(now: datetime, status: Status, message: str) -> State:
    return State(status, now, replace(Result(status, now), message=message))


health_cache = HealthCache()
readiness_cache = HealthCache(names=(DATABASE_CHECK, "cache"), max_age=timedelta(seconds=1))
