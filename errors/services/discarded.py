"""Count the items that are not stored, in memory, and write the sums every few seconds: a flood causes few writes.

A process that is killed loses a few seconds of these counts. Events are never buffered like this.
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
    if connection.in_atomic_block:  # inside a transaction the caller expects to read the row
        flush()


@chore("errors.services.discarded", seconds=2)
def flush() -> int:
    """Add the buffered counts to the day's rows. Return the number of rows."""
    with _lock:
        flushed = dict(_sums)
        _sums.clear()
    if not flushed:
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
        for (app_id, source, category, reason), (number, first_at, last_at) in flushed.items()
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
        _restore(flushed)
        raise
    return len(rows)


def _restore(flushed: dict[_Key, tuple[int, datetime, datetime]]) -> None:
    with _lock:
        for key, (number, first_at, last_at) in flushed.items():
            total, _, latest = _sums.get(key) or (0, first_at, last_at)
            _sums[key] = (total + number, first_at, max(latest, last_at))
