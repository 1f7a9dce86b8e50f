"""What this process knows of the portal's health, and how it answers quickly even when nothing else does.

The minute task stores results; a board reads them, and asks by itself what is older than `max_age`. Whoever reads
waits `budget` at most: what has not answered by then is told as last known, with its age. Nothing here needs the database.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connections

from health import checks, verdict
from health.checking import runner
from health.checks import Check
from health.queries.components import load_states
from health.verdict import Result, State, Status

log = logging.getLogger(__name__)

DATABASE = "database"
MAX_AGE = timedelta(seconds=settings.HEALTH_FRESH_SECONDS)
# With no answer for this long a required check is down, whatever it said before.
BELIEVED = timedelta(seconds=60)


@dataclass(frozen=True)
class Entry:
    name: str
    title: str
    required: bool
    is_check: bool  # registered in code, as opposed to a monitor that staff added
    state: State


@dataclass(frozen=True)
class Reading:
    """The verdict and what it rests on."""

    status: Status
    entries: tuple[Entry, ...]
    at: datetime

    @property
    def database_answers(self) -> bool:
        return all(
            entry.state.result.status is not Status.UNHEALTHY
            for entry in self.entries
            if entry.name == DATABASE
        )


class Board:
    def __init__(self, *, names: tuple[str, ...] = (), max_age: timedelta = MAX_AGE) -> None:
        """`names`: only these checks, and nothing stored; default: every check, and the stored state of everything else."""
        self._names = names
        self._max_age = max_age
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._refreshed_at: datetime | None = None
        self._refresh: threading.Event | None = None

    def read(self, *, now: datetime, budget: float) -> Reading:
        with self._lock:
            age = now - self._refreshed_at if self._refreshed_at else None
            if age is not None and timedelta() <= age <= self._max_age:
                done = None
            elif self._refresh is None:
                done = self._refresh = threading.Event()
                threading.Thread(
                    target=self._run_refresh, args=(now, done), name="health board", daemon=True
                ).start()
            else:
                done = self._refresh
        if done is not None:
            done.wait(budget)
        return self._reading(now)

    def forget(self) -> None:
        with self._lock:
            self._entries, self._refreshed_at = {}, None

    def _checks(self) -> list[Check]:
        return [check for check in checks.registry if not self._names or check.name in self._names]

    def _reading(self, now: datetime) -> Reading:
        with self._lock:
            entries = dict(self._entries)
        for check in self._checks():
            entry = entries.get(check.name)
            if entry is None:
                entry = _entry(check, _no_answer(now, Status.UNKNOWN, "no answer yet"))
            elif check.critical and now - entry.state.result.at > BELIEVED:
                text = f"no answer since {entry.state.result.at:%H:%M:%S} UTC"
                entry = _entry(check, _no_answer(now, Status.UNHEALTHY, text))
            entries[check.name] = entry
        ordered = tuple(sorted(entries.values(), key=lambda e: (not e.required, e.name)))
        return Reading(
            verdict.overall_status((entry.required, entry.state.status) for entry in ordered), ordered, now
        )

    def _run_refresh(self, now: datetime, done: threading.Event) -> None:
        began = time.monotonic()
        try:
            everything = self._checks()
            # The database first: when it answers, the stored results may spare asking the others.
            first = [check for check in everything if check.name == DATABASE or self._names]
            for check, result in runner.run(first, now=now):
                self._take(check, result)
                if result.status is Status.HEALTHY and not self._names:
                    self._load(now)
            rest = [
                check
                for check in everything
                if check not in first and not self._is_fresh(check.name, now)
            ]
            for check, result in runner.run(rest, now=now):
                self._take(check, result)
        except Exception:
            log.exception("health board could not refresh")
        finally:
            with self._lock:
                self._refreshed_at = now + timedelta(seconds=time.monotonic() - began)
                self._refresh = None
            done.set()
            connections.close_all()

    def _is_fresh(self, name: str, now: datetime) -> bool:
        with self._lock:
            entry = self._entries.get(name)
        return entry is not None and now - entry.state.result.at <= self._max_age

    def _take(self, check: Check, result: Result) -> None:
        with self._lock:
            known = self._entries.get(check.name)
            state = verdict.next_state(
                known.state if known else None,
                result,
                fail_after=check.fail_after,
                recover_after=check.recover_after,
            )
            self._entries[check.name] = _entry(check, state)

    def _load(self, now: datetime) -> None:
        stored = load_states()
        registered: Mapping[str, Check] = {check.name: check for check in self._checks()}
        with self._lock:
            for name, (component, state) in stored.items():
                known = self._entries.get(name)
                if name in registered:
                    if known is None or known.state.result.at < state.result.at:
                        self._entries[name] = _entry(registered[name], state)
                elif component.kind != "check":
                    self._entries[name] = Entry(
                        name, component.title, component.is_required, False, state
                    )
            for name in [n for n in self._entries if n not in stored and n not in registered]:
                del self._entries[name]


def _entry(check: Check, state: State) -> Entry:
    return Entry(check.name, check.summary, check.critical, True, state)


def _no_answer(now: datetime, status: Status, message: str) -> State:
    return State(status, now, replace(Result(status, now), message=message))


board = Board()
readiness = Board(names=(DATABASE, "cache"), max_age=timedelta(seconds=1))
