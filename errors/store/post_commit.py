"""Start the follow-up work of a committed batch in a background thread, so that clients do not wait for it.

The follow-up work evaluates the rule about critical errors, and queues the resolution of events with source maps.
"""

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from alerts.services import evaluate_rule
from core.lib import queue
from errors.models import Severity
from errors.store.write import BatchResult

log = logging.getLogger(__name__)

RULE = "errors.critical"
# After its work, the thread sleeps _PAUSE_FACTOR times as long as the work took, but at most MAX_PAUSE_SECONDS. This
# limits the load during a flood of critical errors.
_PAUSE_FACTOR = 15
MAX_PAUSE_SECONDS = 1.0

_wanted = threading.Event()
_actions: set[Callable[[], None]] = set()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def follow_up_soon(result: BatchResult) -> None:
    """Start the follow-up work of a batch in a background thread. The batch must already be committed."""
    actions = _actions_for(result)
    if actions:
        _wake(actions)


def follow_up_on_commit(result: BatchResult) -> None:
    """Do the follow-up work of a batch in this thread, as soon as the caller's transaction has committed."""
    for action in _actions_for(result):
        transaction.on_commit(action)


def _actions_for(result: BatchResult) -> list[Callable[[], None]]:
    actions: list[Callable[[], None]] = []
    if Severity.CRITICAL in result.severities:
        actions.append(evaluate_critical_errors)
    if result.to_resolve:
        actions.append(resolve_events)
    return actions


def _wake(actions: list[Callable[[], None]]) -> None:
    global _thread
    with _lock:
        _actions.update(actions)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="errors.store.post_commit", daemon=True)
            _thread.start()
    _wanted.set()


def _run() -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        with _lock:
            actions = list(_actions)
            _actions.clear()
        began = time.monotonic()
        for action in actions:
            action()
        connection.close()
        time.sleep(min(_PAUSE_FACTOR * (time.monotonic() - began), MAX_PAUSE_SECONDS))


def resolve_events() -> None:
    """Queue a task that resolves the marked events. If this fails, a scheduled task does so within a minute."""
    queue.enqueue("errors.tasks.resolve_events")


def evaluate_critical_errors() -> None:
    """Evaluate the alert rule RULE. A failure is only logged, because the rule is also evaluated every minute."""
    try:
        evaluate_rule(RULE, now=timezone.now())
    except DatabaseError:
        log.warning(
            "critical errors were not evaluated immediately, because the database is unavailable"
        )
        close_old_connections()
    except Exception:
        log.exception("critical errors were not evaluated immediately")
