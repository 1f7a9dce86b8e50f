"""Read the archives that sentry-cli and the bundler plugins upload. This module does not use the database.

An archive is a zip file after eight bytes with a magic number and a version. Its `manifest.json` describes each file:
type, URL, and headers with the debug id and the URL of the source map. The format is documented at
https://getsentry.github.io/symbolicator/advanced/source-bundles
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from errors.exceptions import BrokenUpload

MAX_FILES = 20_000
MAX_TOTAL_BYTES = 1024 * 1024 * 1024  # Limits the uncompressed size.
MAX_MANIFEST_BYTES = 32 * 1024 * 1024
MAX_URL_LENGTH = 500
_KINDS = {"minified_source": "script", "source_map": "map", "source": "source"}
_DEBUG_ID = re.compile(
    r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})"
)


@dataclass(frozen=True)
class ArchivedFile:
    kind: str  # One of the values of ArtifactFile.Kind.
    url: str
    debug_id: str
    source_map_url: str
    content: bytes


def debug_id_of(value: object) -> str:
    """Return a debug id as 32 hex digits, or "" for anything else. An age at the end of the id is ignored."""
    found = _DEBUG_ID.match(value.strip().lower()) if isinstance(value, str) else None
    return "".join(found.groups()) if found else ""


class Archive:
    """An uploaded archive. Its methods raise BrokenUpload if the archive is unreadable or too large."""

    def __init__(self, file: IO[bytes], *, max_file_bytes: int) -> None:
        self._max_file_bytes = max_file_bytes
        try:
            self._zip = zipfile.ZipFile(file)
            manifest = json.loads(self._read("manifest.json", MAX_MANIFEST_BYTES))
        except (
            zipfile.BadZipFile,
            ValueError,
            OSError,
            RecursionError,
            NotImplementedError,
        ) as error:
            raise BrokenUpload(
                f"the file is not a readable artifact bundle: {str(error)[:200]}"
            ) from None
        self._manifest: dict[str, Any] = manifest if isinstance(manifest, dict) else {}
        files = self._manifest.get("files")
        self._files: dict[str, Any] = files if isinstance(files, dict) else {}
        if len(self._files) > MAX_FILES:
            raise BrokenUpload(f"the bundle has more than {MAX_FILES} files")

    @property
    def release(self) -> str:
        return self._text("release")

    @property
    def dist(self) -> str:
        return self._text("dist")

    def files(self) -> Iterator[ArchivedFile]:
        """Yield the scripts, source maps and sources one at a time, because they may not fit into memory together.

        Entries without a valid, new URL are skipped.
        """
        total = 0
        urls: set[str] = set()
        for path, described in self._files.items():
            given = described if isinstance(described, dict) else {}
            kind, url = _KINDS.get(str(given.get("type"))), str(given.get("url") or "")
            if kind is None or not url or "\0" in url or url in urls or len(url) > MAX_URL_LENGTH:
                continue
            urls.add(url)
            headers = _lower(given.get("headers"))
            try:
                content = self._read(path, self._max_file_bytes)
            except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
                raise BrokenUpload(f"{url} is not readable: {str(error)[:200]}") from None
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                raise BrokenUpload(
                    f"the bundle is larger than {MAX_TOTAL_BYTES // 2**20} MiB after decompression"
                )
            yield ArchivedFile(
                kind=kind,
                url=url,
                debug_id=debug_id_of(headers.get("debug-id")),
                source_map_url=headers.get("sourcemap", "").replace("\0", "")[:MAX_URL_LENGTH],
                content=content,
            )

    def _read(self, path: str, limit: int) -> bytes:
        try:
            with self._zip.open(path) as member:
                content = member.read(limit + 1)
        except KeyError:
            raise BrokenUpload(f"{path} is missing from the bundle") from None
        except zlib.error as error:
            raise BrokenUpload(f"{path} is not readable: {error}") from None
        if len(content) > limit:
            raise BrokenUpload(f"{path} is larger than {limit // 2**20} MiB")
        return content

    def _text(self, name: str) -> str:
        value = self._manifest.get(name)
        return value.replace("\0", "") if isinstance(value, str) else ""


def _lower(headers: object) -> dict[str, str]:
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}
