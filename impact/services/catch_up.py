"""Update orders and touches with all committed changes.

A continuous task calls `catch_up` every two seconds. The code that reads figures for pages, messages and metrics also
calls `catch_up`, so that the figures include the few changes that were committed since the last run.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db import DatabaseError, connection, transaction

from core.lib.durability import relaxed_durability
from impact.extension_points import order_sources, problem_sources
from impact.models import Change, ProblemReference
from impact.services.links import REMEMBERED_FOR, link_mentions
from impact.services.orders import refresh

log = logging.getLogger(__name__)

# A batch holds SQLite's write lock, so it applies only a few changes, and the task pauses for as long as it took.
BATCH_SIZE = 100
PAGE_SIZE = 200  # A page of a problem source has at most this many rows.
# A reader applies only a few recent changes. During a flood of errors, it leaves the many waiting changes to the
# continuous task, because the process that receives the errors needs the CPU time and the write lock.
READ_SECONDS = 0.05
MAX_READ_CHANGES = 20
TASK_SECONDS = 20.0
MAX_PAUSE_SECONDS = 1.0


def catch_up(*, seconds: float | None = None, is_paused: bool = False) -> bool:
    """Apply committed changes, and return True if no change is left. No batch starts after `seconds`.

    A reader passes no `seconds`. READ_SECONDS then applies, and nothing is changed if more than MAX_READ_CHANGES
    changes are waiting. With `is_paused`, the function pauses after each batch for as long as the
    batch took, but at most MAX_PAUSE_SECONDS, so that other writers can work.

    Outside a transaction, a database error is only logged, and the figures do not include the newest changes until a
    later call succeeds.
    """
    ends_at = time.monotonic() + (READ_SECONDS if seconds is None else seconds)
    try:
        if seconds is None:
            waiting = len(Change.objects.values_list("pk", flat=True)[: MAX_READ_CHANGES + 1])
            if not waiting or waiting > MAX_READ_CHANGES:
                return not waiting
        while Change.objects.exists():
            if time.monotonic() >= ends_at:
                return False
            started = time.monotonic()
            # Durability may be relaxed, because a power failure that undoes a batch also restores the applied changes.
            with relaxed_durability(), transaction.atomic():
                _apply_batch()
            if is_paused:
                time.sleep(min(MAX_PAUSE_SECONDS, time.monotonic() - started))
    except DatabaseError:
        if connection.in_atomic_block:
            raise
        log.warning("the cost of problems could not be updated", exc_info=True)
        return False
    return True


def _apply_batch() -> None:
    _lock()
    changes = list(Change.objects.order_by("pk")[:BATCH_SIZE])
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for change in changes:
        ranges[change.source].append((change.first, change.last))
    rest: list[Change] = []
    for source in order_sources:
        ids = {first for first, _ in ranges.get(source.name, ())}
        if ids:
            refresh(source, ids)
    for problem_source in problem_sources:
        kind = problem_source.kind
        for first, last in _merged(ranges.get(kind, ())):
            page = problem_source.read(first, last, PAGE_SIZE)
            link_mentions(page.mentions, indexed=problem_source.indexed)
            if page.next is not None:
                rest.append(Change(source=kind, first=page.next, last=last))
    Change.objects.filter(pk__in=[change.pk for change in changes]).delete()
    Change.objects.bulk_create(rest)


def _lock() -> None:
    """Wait until no other process applies changes. On PostgreSQL, the lock is held until the transaction ends.

    On SQLite, the write lock of the transaction has the same effect.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('impact.catch_up'))")


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges in order, and merge ranges that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def prune(*, now: datetime) -> int:
    """Delete stored references that are too old to link new orders, and return their number."""
    removed, _ = ProblemReference.objects.filter(last_at__lt=now - REMEMBERED_FOR).delete()
    return removed
