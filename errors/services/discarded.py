"""Count discarded items in memory, and write the sums every few seconds, so that a flood of items causes few writes.

A killed process loses the counts of a few seconds. Events themselves are never buffered in this way.
"""

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from core.lib.buffer import Buffer, OnFailure
from core.lib.upsert import upsert
from errors.models import Discarded

MAX_KEYS = 5_000

# Consists of the app's id, the source, the category and the reason.
_Key = tuple[int, str, str, str]
# Consists of the number of items, and the times of the first and the last item.
_Sum = tuple[int, datetime, datetime]


def count(
    app_id: int, source: Discarded.Source, category: str, reason: str = "", number: int = 1
) -> None:
    now = timezone.now()
    discarded_items.add((app_id, source.value, category[:64], reason[:64]), (number, now, now))
    if connection.in_atomic_block:  # Callers in a transaction expect to read the row immediately.
        discarded_items.flush()


def _write(sums: dict[_Key, _Sum]) -> None:
    """Add each sum to the row for its app, date, source, category and reason."""
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
        for (app_id, source, category, reason), (number, first_at, last_at) in sums.items()
    ]
    with transaction.atomic():
        upsert(
            Discarded,
            rows,
            key=("app", "date", "source", "category", "reason"),
            add=("count",),
            least=("first_at",),
            greatest=("last_at",),
        )


discarded_items = Buffer[_Key, _Sum](
    "errors: discarded items",
    seconds=2,
    write=_write,
    merge=lambda known, new: (known[0] + new[0], known[1], new[2]),
    count_of=lambda item: item[0],
    max_keys=MAX_KEYS,
    on_failure=OnFailure.RETRY,
)
