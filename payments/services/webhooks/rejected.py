"""Count rejected webhook calls, with at most one write per reason in 5 seconds however many calls arrive."""

import threading
import time
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from core.lib import background
from core.lib.upsert import upsert
from payments.models import RefusedDelivery

FLUSH_SECONDS = 5.0

_lock = threading.Lock()
_waiting: dict[str, tuple[int, str]] = {}  # count and latest sample by reason
_flushed_at: dict[str, float] = {}


def count_rejected_call(reason: str, *, sample: str, now: datetime) -> None:
    """Count a rejected call. The count is written immediately, or within 5 seconds in a burst."""
    with _lock:
        count, _ = _waiting.get(reason, (0, ""))
        _waiting[reason] = (count + 1, sample)
        if time.monotonic() - _flushed_at.get(reason, -FLUSH_SECONDS) < FLUSH_SECONDS:
            return
        _flushed_at[reason] = time.monotonic()
        waiting = {reason: _waiting.pop(reason)}
    _write(waiting, now)


@background.chore("payments: rejected webhook calls", seconds=FLUSH_SECONDS)
def flush_rejected_calls() -> int:
    """Write the counts that are still in memory and return the number of calls."""
    with _lock:
        waiting = dict(_waiting)
        _waiting.clear()
    _write(waiting, timezone.now())
    return sum(count for count, _ in waiting.values())


def _write(waiting: dict[str, tuple[int, str]], now: datetime) -> None:
    if not waiting:
        return
    hour = now.replace(minute=0, second=0, microsecond=0)
    rows = [
        {"hour": hour, "reason": reason, "count": count, "last_at": now, "sample": sample[:200]}
        for reason, (count, sample) in waiting.items()
    ]
    with transaction.atomic():
        upsert(
            RefusedDelivery,
            rows,
            key=["hour", "reason"],
            add=["count"],
            greatest=["last_at"],
            replace=["sample"],
        )


def reset() -> None:
    """Discard what is in memory, for tests."""
    with _lock:
        _waiting.clear()
        _flushed_at.clear()
