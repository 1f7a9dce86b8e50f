"""Count rejected webhook calls in memory, and write the counts of a burst together."""

import time
from datetime import datetime

from django.db import transaction

from core.lib.buffer import Buffer, OnFailure
from core.lib.upsert import upsert
from payments.models import RefusedDelivery

FLUSH_SECONDS = 5.0
MAX_KEYS = 1_000

_Key = tuple[datetime, str]  # Contains the hour and the reason.
# Contains the count, the time of the last call, and a sample.
_Calls = tuple[int, datetime, str]

_flushed_at: dict[str, float] = {}


def count_rejected_call(reason: str, *, sample: str, now: datetime) -> None:
    """Count a rejected call in memory. The count is written immediately or, in a burst, after about 5 seconds."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    rejected_calls.add((hour, reason), (1, now, sample[:200]))
    if time.monotonic() - _flushed_at.get(reason, -FLUSH_SECONDS) >= FLUSH_SECONDS:
        _flushed_at[reason] = time.monotonic()
        rejected_calls.flush()


def _write(calls: dict[_Key, _Calls]) -> None:
    rows = [
        {"hour": hour, "reason": reason, "count": count, "last_at": last_at, "sample": sample}
        for (hour, reason), (count, last_at, sample) in calls.items()
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


rejected_calls = Buffer[_Key, _Calls](
    "payments: rejected webhook calls",
    seconds=FLUSH_SECONDS,
    write=_write,
    merge=lambda known, new: (known[0] + new[0], max(known[1], new[1]), new[2]),
    count_of=lambda calls: calls[0],
    max_keys=MAX_KEYS,
    on_failure=OnFailure.RETRY,
)


def reset() -> None:
    """Discard the counts in memory, for tests."""
    rejected_calls.clear()
    _flushed_at.clear()
