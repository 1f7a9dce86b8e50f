"""Runs checks at once, each in its own thread under its own timeout. One that hangs delays nobody.

A thread cannot be stopped: a check that outlives its timeout is left behind, counted as failed, and not started
again until it ends. So a dependency that swallows everything costs one thread, however often it is asked.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import connections

from health.checks import Check, Degraded, NotConfigured
from health.verdict import Result, Status
from opsportal.lib import outbound

log = logging.getLogger(__name__)

_busy: set[str] = set()
_lock = threading.Lock()


def run(
    checks: Iterable[Check], *, now: datetime, limit: float | None = None
) -> Iterator[tuple[Check, Result]]:
    """Each check with its result, in the order they answer. `limit` shortens every timeout (seconds)."""
    answers: queue.SimpleQueue[tuple[Check, Result]] = queue.SimpleQueue()
    began = time.monotonic()
    waiting: dict[str, tuple[Check, float]] = {}
    for check in checks:
        timeout = min(check.timeout, limit) if limit is not None else check.timeout
        with _lock:
            is_stuck = check.name in _busy
            _busy.add(check.name)
        waiting[check.name] = (check, timeout)
        if is_stuck:
            answers.put((check, _late(now, began, "the previous attempt still has no answer")))
            continue
        threading.Thread(
            target=_answer, args=(check, now, answers), name=f"check {check.name}", daemon=True
        ).start()
    while waiting:
        next_timeout = min(timeout for _, timeout in waiting.values())
        try:
            check, result = answers.get(timeout=max(0.0, began + next_timeout - time.monotonic()))
        except queue.Empty:
            for check, timeout in list(waiting.values()):
                if time.monotonic() - began >= timeout:
                    del waiting[check.name]
                    yield check, _late(now, began, f"no answer within {timeout:g} s")
            continue
        if waiting.pop(check.name, None):
            yield check, result


def _late(now: datetime, began: float, message: str) -> Result:
    passed = time.monotonic() - began
    return Result(
        Status.UNHEALTHY, now + timedelta(seconds=passed), passed * 1000, message, unreachable=True
    )


def _answer(
    check: Check, now: datetime, answers: "queue.SimpleQueue[tuple[Check, Result]]"
) -> None:
    began = time.perf_counter()
    try:
        status, message, unreachable = _ask(check)
    finally:
        with _lock:
            _busy.discard(check.name)
        connections.close_all()
    passed = time.perf_counter() - began
    at = now + timedelta(seconds=passed)
    answers.put((check, Result(status, at, passed * 1000, message, unreachable)))


def _ask(check: Check) -> tuple[Status, str, bool]:
    try:
        return Status.HEALTHY, check.run() or "", False
    except NotConfigured as reason:
        return Status.NOT_CONFIGURED, str(reason), False
    except Degraded as reason:
        return Status.DEGRADED, str(reason), False
    except Exception as error:  # a check may fail in any way; that is its answer
        log.info("check failed", extra={"check": check.name, "error": repr(error)[:500]})
        lines = str(error).strip().splitlines()
        text = lines[0] if lines else type(error).__name__
        unreachable = isinstance(error, outbound.Unavailable | OSError)
        return Status.UNHEALTHY, text[:500], unreachable
