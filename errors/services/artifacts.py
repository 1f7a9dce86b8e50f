"""Receive build artifacts, either as chunks that are assembled into a bundle or as single files of a release."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from io import BytesIO
from typing import IO

from django.db import transaction
from django.db.models import QuerySet, Sum

from core.clients.models import ClientApp
from core.lib import queue
from core.releases.services import ensure_release
from errors.exceptions import BrokenUpload
from errors.models import ArtifactBundle, ArtifactContent, ArtifactFile, UploadedChunk
from errors.source_maps import storage
from errors.source_maps.archive import Archive, ArchivedFile

# A request with four chunks of this size fits into DATA_UPLOAD_MAX_MEMORY_SIZE. The protocol requires a power of two.
CHUNK_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024
# Limits the total size of an app's chunks that have not been assembled.
MAX_WAITING_BYTES = 2 * 1024 * 1024 * 1024
# Limits the size of a file that is uploaded without chunks.
MAX_SINGLE_FILE_BYTES = 64 * 1024 * 1024
CHUNK_RETENTION = timedelta(days=1)


class State(StrEnum):
    """The state of an assembly, with the values of sentry-cli's protocol."""

    OK = "ok"
    MISSING = "not_found"
    FAILED = "error"


@dataclass(frozen=True)
class Assembled:
    state: State
    missing: list[str] = field(default_factory=list)
    detail: str = ""


def save_chunk(*, app: ClientApp, checksum: str, content: bytes, now: datetime) -> None:
    """Save a part of an upload.

    Raises BrokenUpload if its checksum is wrong, if it is too large, or if too many chunks are waiting.
    """
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != checksum:
        raise BrokenUpload(f"the chunk {checksum} does not match its checksum")
    if len(content) > CHUNK_BYTES:
        raise BrokenUpload(f"the chunk {checksum} is larger than {CHUNK_BYTES} bytes")
    waiting = UploadedChunk.objects.filter(app=app).aggregate(sum=Sum("size_bytes"))["sum"] or 0
    if waiting + len(content) > MAX_WAITING_BYTES:
        raise BrokenUpload("too many chunks are waiting to be assembled; try again in a day")
    chunk = UploadedChunk(app=app, checksum=checksum, size_bytes=len(content), uploaded_at=now)
    storage.save(chunk.name, BytesIO(content))
    UploadedChunk.objects.bulk_create(
        [chunk],
        update_conflicts=True,
        unique_fields=["app", "checksum"],
        update_fields=["uploaded_at"],
    )


def assemble(
    *,
    app: ClientApp,
    checksum: str,
    chunks: Sequence[str],
    release: str,
    dist: str,
    now: datetime,
) -> Assembled:
    """Assemble chunks into a bundle, and queue the events that it may resolve.

    Return the state of the assembly, with the checksums of missing chunks. Repeated calls are safe.
    """
    known = ArtifactBundle.objects.filter(app=app, checksum=checksum)
    if known.filter(release=release, dist=dist).update(uploaded_at=now, is_settled=False):
        _resolve_waiting(app)
        return Assembled(State.OK)
    stored = dict(
        UploadedChunk.objects.filter(app=app, checksum__in=chunks).values_list("checksum", "pk")
    )
    missing = [one for one in chunks if one not in stored]
    if missing:
        return Assembled(State.MISSING, missing)
    with tempfile.TemporaryFile() as file:
        digest = hashlib.sha1(usedforsecurity=False)
        for one in chunks:
            content = storage.load(UploadedChunk(app=app, checksum=one).name, sha1=one)
            if content is None:
                UploadedChunk.objects.filter(pk=stored[one]).delete()
                return Assembled(State.MISSING, [one])
            digest.update(content)
            file.write(content)
        if digest.hexdigest() != checksum:
            return Assembled(State.FAILED, detail="the assembled file does not match its checksum")
        try:
            archive = Archive(file, max_file_bytes=storage.MAX_FILE_BYTES)
            files = [
                (replace(one, content=b""), _save_content(app, BytesIO(one.content), now))
                for one in archive.files()
            ]
        except BrokenUpload as error:
            return Assembled(State.FAILED, detail=str(error))
    _create_bundle(app, checksum, release or archive.release, dist or archive.dist, files, now)
    delete_chunks(UploadedChunk.objects.filter(pk__in=stored.values()))
    _resolve_waiting(app)
    return Assembled(State.OK)


def save_release_file(
    *,
    app: ClientApp,
    release: str,
    dist: str,
    url: str,
    content: IO[bytes],
    source_map_url: str,
    now: datetime,
) -> ArtifactFile:
    """Save a single file of a release, which old versions of sentry-cli upload. Replace a file with the same URL.

    The file is read in pieces, because it may be large.
    """
    row = _save_content(app, content, now)
    kind = (
        ArtifactFile.Kind.SOURCE_MAP if _is_source_map(url, content) else ArtifactFile.Kind.SCRIPT
    )
    with transaction.atomic():
        ensure_release(app=app, version=release, now=now)
        bundle, _ = ArtifactBundle.objects.get_or_create(
            app=app,
            checksum="",
            release=release,
            dist=dist,
            defaults={"uploaded_at": now, "last_used_at": now},
        )
        file, _ = ArtifactFile.objects.update_or_create(
            bundle=bundle,
            url=url,
            defaults={"content": row, "kind": kind, "source_map_url": source_map_url},
        )
        bundle.file_count = bundle.files.count()
        bundle.uploaded_at, bundle.is_settled = now, False
        bundle.save(update_fields=["file_count", "uploaded_at", "is_settled"])
    _resolve_waiting(app)
    return file


def _is_source_map(url: str, content: IO[bytes]) -> bool:
    if url.endswith(".map"):
        return True
    content.seek(0)
    piece = content.read(_PIECE_BYTES)
    if not piece.startswith(b"{"):
        return False
    tail = b""
    while piece:
        if b'"mappings"' in tail + piece:
            return True
        tail, piece = piece[-len(b'"mappings"') :], content.read(_PIECE_BYTES)
    return False


def _save_content(app: ClientApp, content: IO[bytes], now: datetime) -> ArtifactContent:
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    row = ArtifactContent(
        app=app,
        digest=hashlib.file_digest(content, "sha256").hexdigest(),  # type: ignore[arg-type]
        size_bytes=size,
        saved_at=now,
    )
    content.seek(0)
    row.stored_bytes = storage.save(row.name, content)
    # An earlier upload may have saved the same content. The new time
    # protects it from deletion until a file of this upload refers to it.
    return ArtifactContent.objects.update_or_create(
        app=app,
        digest=row.digest,
        defaults={
            "size_bytes": row.size_bytes,
            "stored_bytes": row.stored_bytes,
            "saved_at": now,
        },
    )[0]


@transaction.atomic
def _create_bundle(
    app: ClientApp,
    checksum: str,
    release: str,
    dist: str,
    files: Sequence[tuple[ArchivedFile, ArtifactContent]],
    now: datetime,
) -> None:
    if release:
        ensure_release(app=app, version=release, now=now)
    bundle, is_new = ArtifactBundle.objects.get_or_create(
        app=app,
        checksum=checksum,
        release=release,
        dist=dist,
        defaults={"uploaded_at": now, "last_used_at": now, "file_count": len(files)},
    )
    if is_new:  # Otherwise, a concurrent call has already added the files.
        ArtifactFile.objects.bulk_create(
            (
                ArtifactFile(
                    bundle=bundle,
                    content=content,
                    kind=one.kind,
                    url=one.url,
                    debug_id=one.debug_id,
                    source_map_url=one.source_map_url,
                )
                for one, content in files
            ),
            batch_size=500,
        )


def delete_chunks(chunks: QuerySet[UploadedChunk]) -> int:
    """Delete chunks and their stored contents, and return the number of chunks."""
    found = list(chunks)
    UploadedChunk.objects.filter(pk__in=[chunk.pk for chunk in found]).delete()
    for chunk in found:
        storage.delete(chunk.name)
    return len(found)


def _resolve_waiting(app: ClientApp) -> None:
    queue.enqueue("errors.tasks.resolve_waiting", app_id=app.pk)
