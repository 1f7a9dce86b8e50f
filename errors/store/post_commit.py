"""Evaluate the rule on critical errors right after a batch with one has committed, without delaying its clients."""

import logging
import threading
import time

from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from alerts.services import evaluate_rule
from errors.models import Severity
from errors.store.write import BatchResult

log = logging.getLogger(__name__)

RULE = "errors.critical"
# Between two evaluations the thread sleeps 15 times as long as the first one took, so that a flood of critical errors
# costs at most a sixteenth of one thread's time.
_PAUSE_FACTOR = 15
MAX_PAUSE_SECONDS = 1.0

_wanted = threading.Event()
_start_lock = threading.Lock()
_thread: threading.Thread | None = None


def evaluate_critical_errors_soon(result: BatchResult) -> None:
    """Evaluate the rule in a background thread if the batch contains a critical error. Call it outside transactions."""
    if Severity.CRITICAL in result.severities:
        _wake()


def evaluate_critical_errors_on_commit(result: BatchResult) -> None:
    """Evaluate the rule once the caller's transaction has committed, if the batch contains a critical error."""
    if Severity.CRITICAL in result.severities:
        transaction.on_commit(evaluate_critical_errors)


def _wake() -> None:
    global _thread
    _wanted.set()
    if _thread is None or not _thread.is_alive():
        with _start_lock:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(
                    target=_run, name="errors.store.post_commit", daemon=True
                )
                _thread.start()


def _run() -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        began = time.monotonic()
        evaluate_critical_errors()
        connection.close()
        time.sleep(min(_PAUSE_FACTOR * (time.monotonic() - began), MAX_PAUSE_SECONDS))


def evaluate_critical_errors() -> None:
    """Evaluate the rule. A failure is only logged, because the rule also runs every minute."""
    try:
        evaluate_rule(RULE, now=timezone.now())
    except DatabaseError:
        log.warning("critical errors not evaluated immediately: the database is unavailable")
        close_old_connections()
    except Exception:
        log.exception("critical errors not evaluated immediately")
