"""Add up the events and users of releases once a minute, and derive a deploy from the first event of a release.

The roll-up queries the events that were stored since the previous roll-up, so it adds no work to ingestion.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Max, Min

from core.clients.models import ClientApp
from core.lib.upsert import upsert
from core.releases.models import Release
from core.releases.services import ensure_release, record_first_event
from errors.models import (
    ErrorEvent,
    ReleaseCount,
    ReleaseCursor,
    ReleaseErrorUser,
    received_id,
    received_time,
)
from errors.store.write_lock import write_lock

# The next run counts the newest events, because an event is committed later than the time in its id.
COMMIT_MARGIN = timedelta(seconds=15)
CHUNK_SIZE = 50_000  # Events counted per transaction.
MAX_CHUNKS = 20  # The next run counts further chunks.
# An app's public key is enough to send events, so the number of releases that events may create is limited.
MAX_RELEASES_PER_APP = 5_000
DEFAULT_ENVIRONMENT = "production"  # SDKs use the same default.


def roll_up(*, now: datetime) -> int:
    """Count the events of each release since the last roll-up. Return the number of release rows that changed."""
    count = 0
    for _ in range(MAX_CHUNKS):
        changed, is_done = _roll_up_chunk(received_id(now - COMMIT_MARGIN))
        count += changed
        if is_done:
            break
    return count


def _roll_up_chunk(end: int) -> tuple[int, bool]:
    with write_lock(), transaction.atomic():
        cursor, _ = ReleaseCursor.objects.select_for_update().get_or_create(pk=1)
        start = cursor.event
        if end <= start:
            return 0, True
        following = ErrorEvent.objects.filter(pk__gt=start, pk__lte=end).order_by("pk")
        last = following.values_list("pk", flat=True)[CHUNK_SIZE : CHUNK_SIZE + 1].first()
        changed = _count(start, end if last is None else last)
        cursor.event = end if last is None else last
        cursor.save(update_fields=["event"])
        return changed, last is None


def _count(start: int, end: int) -> int:
    events = ErrorEvent.objects.filter(pk__gt=start, pk__lte=end).exclude(release="").order_by()
    sums = events.values_list("app_id", "release", "environment").annotate(
        count=Count("pk"), first=Min("pk"), last=Max("pk")
    )
    apps = ClientApp.objects.in_bulk()
    rows = []
    releases: dict[tuple[int, str], Release | None] = {}
    for app_id, version, environment, count, first, last in sums:
        app = apps.get(app_id)
        if app is None:
            continue
        key = (app_id, version)
        if key not in releases:
            releases[key] = _release(app, version, received_time(first))
        release = releases[key]
        if release is None:
            continue
        record_first_event(
            app=app,
            version=version,
            environment=environment or DEFAULT_ENVIRONMENT,
            at=received_time(first),
        )
        rows.append(
            {
                "release": release.pk,
                "environment": environment,
                "event_count": count,
                "first_event_at": received_time(first),
                "last_event_at": received_time(last),
            }
        )
    upsert(
        ReleaseCount,
        rows,
        key=["release", "environment"],
        add=["event_count"],
        least=["first_event_at"],
        greatest=["last_event_at"],
    )
    users = events.exclude(user_key="").values_list("app_id", "release", "user_key").distinct()
    ReleaseErrorUser.objects.bulk_create(
        (
            ReleaseErrorUser(release_id=found.pk, user_key=user_key)
            for app_id, version, user_key in users
            if (found := releases.get((app_id, version))) is not None
        ),
        ignore_conflicts=True,
        batch_size=500,
    )
    return len(rows)


def _release(app: ClientApp, version: str, at: datetime) -> Release | None:
    known = Release.objects.filter(app=app, version=version).first()
    if known is not None or Release.objects.filter(app=app).count() >= MAX_RELEASES_PER_APP:
        return known
    return ensure_release(app=app, version=version, now=at)
