"""Count refused webhook calls without letting whoever makes them write at will: at most one write in 5 s and reason."""

import threading
import time
from datetime import datetime

from django.db import transaction

from opsportal.lib.upsert import upsert
from payments.models import RefusedDelivery

FLUSH_SECONDS = 5.0

_lock = threading.Lock()
_waiting: dict[str, int] = {}
_flushed_at: dict[str, float] = {}


def count_refusal(reason: str, *, sample: str, now: datetime) -> None:
    with _lock:
        _waiting[reason] = _waiting.get(reason, 0) + 1
        if time.monotonic() - _flushed_at.get(reason, -FLUSH_SECONDS) < FLUSH_SECONDS:
            return
        _flushed_at[reason] = time.monotonic()
        count = _waiting.pop(reason)
    row = {
        "hour": now.replace(minute=0, second=0, microsecond=0),
        "reason": reason,
        "count": count,
        "last_at": now,
        "sample": sample[:200],
    }
    with transaction.atomic():
        upsert(
            RefusedDelivery,
            [row],
            key=["hour", "reason"],
            add=["count"],
            greatest=["last_at"],
            replace=["sample"],
        )


def forget_all() -> None:
    """For tests."""
    with _lock:
        _waiting.clear()
        _flushed_at.clear()
