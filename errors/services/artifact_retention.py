"""Limit the storage of source maps: delete uploads by last use and by size per app, and chunks by age."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Sum

from core.clients.models import ClientApp
from errors.models import (
    ArtifactBundle,
    ArtifactContent,
    ArtifactFile,
    EventToResolve,
    ResolvedEvent,
    ResolvedStack,
    UploadedChunk,
    received_id,
)
from errors.services.artifacts import CHUNK_RETENTION, delete_chunks
from errors.source_maps import storage

# Content without an ArtifactFile row is kept for this time, because an upload saves content before it adds the rows.
UPLOAD_MARGIN = timedelta(hours=1)
CHUNK_SIZE = 500  # Rows deleted per statement.


def prune(*, now: datetime) -> dict[str, int]:
    """Delete uploads unused for SOURCE_MAP_DAYS, and the least recently used uploads of apps over their limit.

    Also delete old chunks, and contents that no upload uses. Return the number of deleted items by kind.
    """
    unused = ArtifactBundle.objects.filter(
        last_used_at__lt=now - timedelta(days=settings.SOURCE_MAP_DAYS)
    )
    bundles = _delete_bundles(list(unused.values_list("pk", flat=True)))
    for app_id in ArtifactBundle.objects.order_by().values_list("app_id", flat=True).distinct():
        bundles += _shrink(app_id)
    chunks = delete_chunks(UploadedChunk.objects.filter(uploaded_at__lt=now - CHUNK_RETENTION))
    return {"bundles": bundles, "contents": _delete_contents(now), "chunks": chunks}


def _delete_bundles(ids: list[int]) -> int:
    for start in range(0, len(ids), CHUNK_SIZE):
        ArtifactBundle.objects.filter(pk__in=ids[start : start + CHUNK_SIZE]).delete()
    return len(ids)


def _shrink(app_id: int) -> int:
    """Delete the app's least recently used bundles until the rest fits into its limit. Return the number deleted."""
    limit = settings.SOURCE_MAP_MB_PER_APP * 1_000_000
    count = 0
    while stored_bytes(app_id) > limit:
        oldest = ArtifactBundle.objects.filter(app=app_id).order_by("last_used_at", "pk").first()
        if oldest is None:
            return count
        oldest.delete()
        count += 1
    return count


def stored_bytes(app_id: int) -> int:
    """Return the number of bytes that the contents of the app's bundles occupy in the storage."""
    used = ArtifactContent.objects.filter(
        Exists(ArtifactFile.objects.filter(content=OuterRef("pk"))), app=app_id
    )
    return int(used.aggregate(sum=Sum("stored_bytes"))["sum"] or 0)


def _delete_contents(now: datetime) -> int:
    """Delete up to 20 * CHUNK_SIZE old contents to which no ArtifactFile refers, and return the number found."""
    unused = ArtifactContent.objects.filter(
        ~Exists(ArtifactFile.objects.filter(content=OuterRef("pk"))),
        saved_at__lt=now - UPLOAD_MARGIN,
    )
    rows = list(unused[: 20 * CHUNK_SIZE])
    for row in rows:
        # Delete the row first. If the process ends before it deletes the file, only an unused file remains; in the
        # opposite order, a row could refer to a missing file.
        if ArtifactContent.objects.filter(pk=row.pk, saved_at=row.saved_at).delete()[0]:
            storage.delete(row.name)
    return len(rows)


def prune_resolved(*, now: datetime, limit: int = 20_000) -> int:
    """Delete the resolved stacks of about `limit` events past every app's retention. Return the number of events."""
    longest = max(ClientApp.objects.values_list("retention_days", flat=True), default=30)
    cutoff = received_id(now - timedelta(days=longest))
    EventToResolve.objects.filter(pk__lt=cutoff).delete()
    count = 0
    while count < limit:
        old = ResolvedEvent.objects.filter(pk__lt=cutoff).order_by("pk")
        ids = list(old.values_list("pk", flat=True)[:CHUNK_SIZE])
        if not ids:
            break
        count += ResolvedEvent.objects.filter(pk__in=ids).delete()[0]
    unused = ResolvedStack.objects.filter(
        ~Exists(ResolvedEvent.objects.filter(stack=OuterRef("pk")))
    )
    ids = list(unused.values_list("pk", flat=True)[:limit])
    for start in range(0, len(ids), CHUNK_SIZE):
        ResolvedStack.objects.filter(pk__in=ids[start : start + CHUNK_SIZE]).delete()
    return count
