"""Run checks in parallel, each in a separate thread with its own timeout.

Python cannot stop a thread. A check that exceeds its timeout is abandoned and counts as failed, and is not started
again until its thread has ended. A dependency that never responds therefore occupies only one thread.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import connections

from core.lib import outbound
from health.extension_points import Check, Degraded, NotConfigured
from health.verdict import Result, Status

log = logging.getLogger(__name__)

_running: set[str] = set()
_lock = threading.Lock()


def run(
    checks: Iterable[Check], *, now: datetime, max_seconds: float | None = None
) -> Iterator[tuple[Check, Result]]:
    """Yield each check with its result, as soon as the result is available.

    `max_seconds` limits the timeout of each check.
    """
    finished: queue.SimpleQueue[tuple[Check, Result]] = queue.SimpleQueue()
    started = time.monotonic()
    pending: dict[str, tuple[Check, float]] = {}
    for check in checks:
        timeout = min(check.timeout, max_seconds) if max_seconds is not None else check.timeout
        with _lock:
            is_still_running = check.name in _running
            _running.add(check.name)
        pending[check.name] = (check, timeout)
        if is_still_running:
            message = "the previous run has not finished yet"
            finished.put((check, _timed_out(now, started, message)))
            continue
        threading.Thread(
            target=_run_in_thread,
            args=(check, now, finished),
            name=f"check {check.name}",
            daemon=True,
        ).start()
    while pending:
        next_timeout = min(timeout for _, timeout in pending.values())
        try:
            check, result = finished.get(
                timeout=max(0.0, started + next_timeout - time.monotonic())
            )
        except queue.Empty:
            for check, timeout in list(pending.values()):
                if time.monotonic() - started >= timeout:
                    del pending[check.name]
                    yield check, _timed_out(now, started, f"no response within {timeout:g} s")
            continue
        if pending.pop(check.name, None):
            yield check, result


def _timed_out(now: datetime, started: float, message: str) -> Result:
    seconds = time.monotonic() - started
    return Result(
        Status.UNHEALTHY,
        now + timedelta(seconds=seconds),
        seconds * 1000,
        message,
        is_unreachable=True,
    )


def _run_in_thread(
    check: Check, now: datetime, finished: "queue.SimpleQueue[tuple[Check, Result]]"
) -> None:
    started = time.perf_counter()
    try:
        status, message, is_unreachable = _run_check(check)
    finally:
        with _lock:
            _running.discard(check.name)
        connections.close_all()
    seconds = time.perf_counter() - started
    at = now + timedelta(seconds=seconds)
    finished.put((check, Result(status, at, seconds * 1000, message, is_unreachable)))


def _run_check(check: Check) -> tuple[Status, str, bool]:
    try:
        return Status.HEALTHY, check.run() or "", False
    except NotConfigured as reason:
        return Status.NOT_CONFIGURED, str(reason), False
    except Degraded as reason:
        return Status.DEGRADED, str(reason), False
    except Exception as error:  # A check may raise any exception, which counts as a failure.
        log.info("check failed", extra={"check": check.name, "error": repr(error)[:500]})
        lines = str(error).strip().splitlines()
        text = lines[0] if lines else type(error).__name__
        is_unreachable = isinstance(error, outbound.Unavailable | OSError)
        return Status.UNHEALTHY, text[:500], is_unreachable
