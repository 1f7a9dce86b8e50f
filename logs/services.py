"""Store log entries, and delete entries past their retention."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from core.lib import ratelimit
from core.lib.durability import relaxed_durability
from errors.exceptions import OverQuota
from errors.ingest.authentication import Project
from errors.models import Discarded
from errors.models.events import received_id
from errors.services import discarded
from errors.store.ids import next_id
from logs import search_index
from logs.models import LogEntry
from logs.records import Record, to_entry

CATEGORY = "log"  # Discarded log entries are counted under this name.
CHUNK_SIZE = 500  # Entries deleted per transaction.
# After each chunk, `prune` sleeps for this multiple of the chunk's duration, so that ingestion can write.
_PAUSE_FACTOR = 2


def retention() -> timedelta:
    return timedelta(days=settings.LOG_DAYS)


def check_quota(project: Project, count: int) -> None:
    """Count entries against the app's quota. If the quota is used up, count them as discarded and raise OverQuota."""
    own = project.app.logs_per_minute
    limit = settings.LOGS_PER_MINUTE if own is None else own
    verdict = ratelimit.acquire(f"logs:{project.app_id}", limit, 60, cost=count) if limit else None
    if verdict is None or not verdict.allowed:
        discarded.count(project.app_id, Discarded.Source.QUOTA, CATEGORY, "logs per minute", count)
        raise OverQuota(
            "logs per minute", max(1, int(verdict.retry_after + 0.999)) if verdict else 60
        )


def count_invalid(project: Project, reason: str, count: int = 1) -> None:
    """Count invalid records as discarded for this reason."""
    discarded.count(project.app_id, Discarded.Source.INVALID, CATEGORY, reason, count)


def record_logs(records: Sequence[Record], *, project: Project, now: datetime) -> int:
    """Scrub and store records, and return their number. The caller must have checked the quota."""
    found = [
        to_entry(record, app=project.app, scrubber=project.scrubber, now=now, max_age=retention())
        for record in records
    ]
    if not found:
        return 0
    try:
        _insert(found)
    # Another process generated the same id in the same millisecond. Retry with new ids.
    except IntegrityError:
        _insert(found)
    return len(found)


def _insert(found: Sequence[tuple[LogEntry, datetime]]) -> None:
    for entry, at in found:
        entry.pk = next_id(at)
    entries = [entry for entry, _ in found]
    with transaction.atomic():
        LogEntry.objects.bulk_create(entries, batch_size=500)
        search_index.add([entry.pk for entry in entries])


@transaction.atomic
def delete_entries(ids: Sequence[int]) -> None:
    """Delete entries and their words in the search index, in one transaction."""
    search_index.remove(ids)
    LogEntry.objects.filter(pk__in=ids).delete()


def prune(*, now: datetime, seconds: float = 40.0) -> int:
    """Delete entries past their retention until none is left or `seconds` have passed. Return the number deleted."""
    cutoff = received_id(now - retention())
    ends_at = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends_at:
        expired = LogEntry.objects.filter(pk__lt=cutoff).order_by("pk")
        ids = list(expired.values_list("pk", flat=True)[:CHUNK_SIZE])
        if not ids:
            break
        started = time.monotonic()
        # If a power failure undoes the deletion, the next run repeats it.
        with relaxed_durability():
            delete_entries(ids)
        count += len(ids)
        time.sleep(_PAUSE_FACTOR * (time.monotonic() - started))
    return count
