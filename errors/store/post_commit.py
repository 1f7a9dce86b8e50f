"""What follows a stored batch without making its senders wait: a critical error is looked at now, not at the next minute."""

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
# However many critical errors come, a process spends a sixteenth of one thread's time on looking at them.
_PAUSE_FACTOR = 15  # times as long as the look took
MAX_PAUSE_SECONDS = 1.0  # seconds

_wanted = threading.Event()
_start_lock = threading.Lock()
_thread: threading.Thread | None = None


def evaluate_critical_errors_soon(result: BatchResult) -> None:
    """Called by the writer, outside any transaction."""
    if Severity.CRITICAL in result.severities:
        _wake()


def evaluate_critical_errors_on_commit(result: BatchResult) -> None:
    """Called inside somebody's transaction: what it stored is visible to others only afterwards."""
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
    """Whether too many critical errors came lately. Failing is no harm: the rule runs every minute, too."""
    try:
        evaluate_rule(RULE, now=timezone.now())
    except DatabaseError:
        log.warning("critical errors not evaluated at once: the database is away")
        close_old_connections()
    except Exception:
        log.exception("critical errors not evaluated at once")
