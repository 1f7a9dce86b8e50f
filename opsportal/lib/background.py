"""Small chores of a web process, done by one thread beside the requests: write down what was counted, read what changed.

A chore is lost with its process; what must not be lost belongs into a transaction or the queue instead.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

from django.db import connections

log = logging.getLogger(__name__)

Chore = Callable[[], object]
_chores: dict[str, tuple[float, Chore]] = {}
_wake = threading.Event()
_started_in = 0
_lock = threading.Lock()
_working = threading.RLock()


def _forked() -> None:
    """In a new child: whatever the thread that it does not have was holding, nobody holds here."""
    global _wake, _lock
    _wake, _lock = threading.Event(), threading.Lock()
    _working.release()


# The worker cluster forks. Between chores it may; in one, the child would inherit locks that nobody ever releases.
os.register_at_fork(
    before=_working.acquire, after_in_parent=_working.release, after_in_child=_forked
)


def chore(name: str, *, seconds: float) -> Callable[[Chore], Chore]:
    """Have a function called every so many seconds in each process that serves requests."""

    def register(function: Chore) -> Chore:
        _chores[name] = (seconds, function)
        return function

    return register


def start() -> None:
    """Called by wsgi.py in each process that serves; a second call in the same process does nothing."""
    global _started_in
    with _lock:
        if _started_in == os.getpid():
            return
        _started_in = os.getpid()
        threading.Thread(target=_run, name="chores", daemon=True).start()


def hurry() -> None:
    """Do the chores now rather than at their next time."""
    _wake.set()


def _do(name: str, function: Chore) -> None:
    try:
        with _working:
            function()
    except Exception:
        # A chore must not end the others. Those that write say what they dropped.
        log.warning("chore failed", extra={"chore": name}, exc_info=True)


def _run() -> None:
    due: dict[str, float] = {}
    while True:
        hurried = _wake.is_set()
        _wake.clear()
        now = time.monotonic()
        doing = [
            (name, function)
            for name, (seconds, function) in list(_chores.items())
            if hurried or now >= due.get(name, 0)
        ]
        if doing:
            with _working:
                for name, function in doing:
                    due[name] = now + _chores[name][0]
                    _do(name, function)
                # One kept by an idle thread is one the requests miss, and one that a fork would take along.
                connections.close_all()
        next_due = min((due.get(name, 0) for name in _chores), default=now + 1)
        _wake.wait(max(0.05, min(5.0, next_due - time.monotonic())))
