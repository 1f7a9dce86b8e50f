"""Save and load uploaded files in the storage that `SOURCE_MAP_STORAGE` names.

A file that is missing or does not match its digest counts as absent, and an event that needs the file keeps its
minified frames. While the storage is unavailable, uploads get a 503, and events wait to be resolved.
"""

import hashlib
import logging
import os
import tempfile
from io import BytesIO
from typing import IO, Any

import zstandard
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db.models.functions import Length
from django.utils.deconstruct import deconstructible

from errors.exceptions import StorageUnavailable
from errors.models import StoredContent

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 128 * 1024 * 1024  # Limits the uncompressed size.
_MAX_IN_MEMORY = 2 * 1024 * 1024  # A larger compressed file is written to a temporary file.
_LEVEL = 9  # Files are compressed once per upload, so saving storage matters more than speed.


def _storage() -> Storage:
    return storages["source_maps"]


def save(name: str, content: IO[bytes]) -> int:
    """Compress a file and save it under `name`, unless `name` already exists. Return its size in the storage.

    `content` is read in pieces from its current position. Raises StorageUnavailable if the storage fails.
    """
    storage = _storage()
    with tempfile.SpooledTemporaryFile(max_size=_MAX_IN_MEMORY) as packed:
        try:
            if storage.exists(name):
                return storage.size(name)
            zstandard.ZstdCompressor(level=_LEVEL).copy_stream(content, packed)
            size = packed.tell()
            packed.seek(0)
            storage.save(name, File(packed, name))
            _flush_to_disk(storage, name)
        except Exception as error:
            # Each storage backend raises its own library's exceptions, so there is no narrower type to catch.
            raise StorageUnavailable(f"the storage of source maps failed: {error}") from error
    return size


def _flush_to_disk(storage: Storage, name: str) -> None:
    try:
        path = storage.path(name)
    except NotImplementedError:
        # A storage without local files, such as S3, must ensure durability itself.
        return
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def load(name: str, *, sha256: str = "", sha1: str = "") -> bytes | None:
    """Return the decompressed file, or None if it is missing, unreadable or has another digest.

    Raises StorageUnavailable if the storage fails.
    """
    try:
        with _storage().open(name) as file:
            packed = file.read()
    except FileNotFoundError:
        return None
    except Exception as error:
        raise StorageUnavailable(f"the storage of source maps failed: {error}") from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            content = reader.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise zstandard.ZstdError("too large")
    except zstandard.ZstdError as error:
        log.warning(
            "a source map is not readable", extra={"content": name, "error": str(error)[:200]}
        )
        return None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        log.warning("a source map does not match its digest", extra={"content": name})
        return None
    if sha1 and hashlib.sha1(content, usedforsecurity=False).hexdigest() != sha1:
        return None
    return content


def delete(name: str) -> None:
    _storage().delete(name)


@deconstructible
class DatabaseStorage(Storage):
    """A storage that saves files in the portal's database, which all nodes share."""

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        row = StoredContent.objects.filter(name=name).first()
        if row is None:
            raise FileNotFoundError(name)
        return File(BytesIO(bytes(row.content)), name)

    def _save(self, name: str, content: Any) -> str:
        StoredContent.objects.update_or_create(name=name, defaults={"content": content.read()})
        return name

    def exists(self, name: str) -> bool:
        return StoredContent.objects.filter(name=name).exists()

    def size(self, name: str) -> int:
        return int(
            StoredContent.objects.filter(name=name).values_list(Length("content"), flat=True).get()
        )

    def delete(self, name: str) -> None:
        StoredContent.objects.filter(name=name).delete()

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name  # Names are digests, so a file with the same name has the same content.
