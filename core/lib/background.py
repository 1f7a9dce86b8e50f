"""Run the periodic chores of a process, such as flushing counters and reloading limits, in one background thread.

A chore's pending work is lost when its process is killed. Work that must not be lost belongs in a transaction or the
queue.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable

from django.db import connections

log = logging.getLogger(__name__)

Chore = Callable[[], object]
_chores: dict[str, tuple[float, Chore]] = {}
_last_chores: dict[str, Chore] = {}
_wake = threading.Event()
_started_in = 0
_lock = threading.Lock()
_working = threading.RLock()


def _forked() -> None:
    """Reset the locks in a forked child: the chore thread, which the child does not have, may have held them."""
    global _wake, _lock
    _wake, _lock = threading.Event(), threading.Lock()
    _working.release()


# The worker cluster forks. A fork waits until no chore runs, because a child
# that is forked while a chore runs would inherit locks that are never released.
os.register_at_fork(
    before=_working.acquire, after_in_parent=_working.release, after_in_child=_forked
)


def chore(name: str, *, seconds: float, at_exit: bool = False) -> Callable[[Chore], Chore]:
    """Register a function to be called every `seconds` in each process that calls `start`, such as web processes.

    With `at_exit`, it is called once more when the process exits.
    """

    def register(function: Chore) -> Chore:
        _chores[name] = (seconds, function)
        if at_exit:
            _last_chores[name] = function
        return function

    return register


def start() -> None:
    """Start the chore thread. A second call in the same process does nothing."""
    global _started_in
    with _lock:
        if _started_in == os.getpid():
            return
        _started_in = os.getpid()
        threading.Thread(target=_run, name="chores", daemon=True).start()


@atexit.register
def run_last_chores() -> None:
    """Run the chores with `at_exit` if this process runs chores, and stop at the first chore that fails.

    A chore that is running finishes first. Stopping at a failure lets the process exit in time: at most one chore waits
    for an unavailable database.
    """
    if _started_in != os.getpid():
        return
    with _working:
        for name, function in _last_chores.items():
            try:
                function()
            except Exception:
                log.warning("last chore failed", extra={"chore": name}, exc_info=True)
                return


def run_soon() -> None:
    """Make the chore thread run all chores now instead of when they are due."""
    _wake.set()


def _run_chore(name: str, function: Chore) -> None:
    try:
        with _working:
            function()
    except Exception:
        # One failing chore must not stop the others. Chores that write data keep it for a retry or count it as
        # dropped.
        log.warning("chore failed", extra={"chore": name}, exc_info=True)


def _run() -> None:
    due: dict[str, float] = {}
    while True:
        is_forced = _wake.is_set()
        _wake.clear()
        now = time.monotonic()
        to_run = [
            (name, function)
            for name, (seconds, function) in list(_chores.items())
            if is_forced or now >= due.get(name, 0)
        ]
        if to_run:
            with _working:
                for name, function in to_run:
                    due[name] = now + _chores[name][0]
                    _run_chore(name, function)
                # Do not hold a connection while idle: requests need it, and forks would inherit it.
                connections.close_all()
        next_due = min((due.get(name, 0) for name in _chores), default=now + 1)
        _wake.wait(max(0.05, min(5.0, next_due - time.monotonic())))
