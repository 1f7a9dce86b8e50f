"""Counts what is not stored, in memory, and writes the sums down every few seconds: a flood of refusals costs no writes.

A process that is killed loses a few seconds of these counts; events never take this way.
"""

import threading
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from core.lib.background import chore
from core.lib.upsert import upsert
from errors.models import Discarded

_Key = tuple[int, str, str, str]  # app, source, category, reason
_MAX_KEYS = 5_000

_sums: dict[_Key, tuple[int, datetime, datetime]] = {}
_lock = threading.Lock()


def count(
    app_id: int, source: Discarded.Source, category: str, reason: str = "", number: int = 1
) -> None:
    key = (app_id, source.value, category[:64], reason[:64])
    now = timezone.now()
    with _lock:
        known = _sums.get(key)
        if known is None and len(_sums) >= _MAX_KEYS:
            return
        total, first_at, _ = known or (0, now, now)
        _sums[key] = (total + number, first_at, now)
    if connection.in_atomic_block:  # whoever calls from a transaction wants to see it there
        flush()


@chore("errors.services.discarded", seconds=2)
def flush() -> int:
    """Add what was counted to the day's rows; how many rows."""
    with _lock:
        taken = dict(_sums)
        _sums.clear()
    if not taken:
        return 0
    rows = [
        {
            "app": app_id,
            "date": last_at.date(),
            "source": source,
            "category": category,
            "reason": reason,
            "count": number,
            "first_at": first_at,
            "last_at": last_at,
        }
        for (app_id, source, category, reason), (number, first_at, last_at) in taken.items()
    ]
    try:
        with transaction.atomic():
            upsert(
                Discarded,
                rows,
                key=("app", "date", "source", "category", "reason"),
                add=("count",),
                least=("first_at",),
                greatest=("last_at",),
            )
    except Exception:
        _put_back(taken)
        raise
    return len(rows)


def _put_back(taken: dict[_Key, tuple[int, datetime, datetime]]) -> None:
    with _lock:
        for key, (number, first_at, last_at) in taken.items():
            total, _, latest = _sums.get(key) or (0, first_at, last_at)
            _sums[key] = (total + number, first_at, max(latest, last_at))
