"""Find the source map of a script among an app's uploads: by debug id or, without one, by release and URL."""

import base64
import binascii
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin

from django.db.models import Q

from errors.models import ArtifactFile
from errors.source_maps import storage
from errors.source_maps.archive import debug_id_of
from errors.source_maps.frames import OpenedMap

log = logging.getLogger(__name__)

MAX_MAP_BYTES = 96 * 1024 * 1024
MAX_CACHED_MAPS = 8
# Limits the total file size of the source maps that are kept
# open. An opened source map takes more memory than its file.
MAX_CACHED_BYTES = 64 * 1024 * 1024
_REFERENCE = re.compile(rb"//[#@]\s*sourceMappingURL=(\S+)\s*(?:\*/\s*)?$")
# Only this last part of a script is searched for the reference to a separate source map.
_TAIL_BYTES = 4 * 1024 * 1024


class UnusableMap(Exception):
    """The source map is missing, broken or too large. The event's page shows the text of the exception."""


@dataclass(frozen=True)
class Script:
    """A script that an event names by its URL and by the debug id that a bundler plugin added to it."""

    url: str
    debug_id: str = ""


def scripts_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the debug ids that an event lists, by the path of the script's URL.

    The keys have no hosts, because the scrubber may have filtered a host in the frames but not in the list of images.
    """
    meta = event.get("debug_meta")
    images = meta.get("images") if isinstance(meta, dict) else None
    found: dict[str, str] = {}
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and image.get("type") == "sourcemap":
            debug_id = debug_id_of(image.get("debug_id"))
            if debug_id and isinstance(image.get("code_file"), str):
                found[path_of(image["code_file"])] = debug_id
    return found


def path_of(url: str) -> str:
    """Return the path of a script's URL without host and query, such as /static/app.js."""
    url = url.split("?", 1)[0].split("#", 1)[0]
    if "://" in url:
        return "/" + url.partition("://")[2].partition("/")[2]
    return "/" + url.removeprefix("~").lstrip("/") if not url.startswith("/") else url


class Maps:
    """The source maps of one app. Recently used maps stay open, because events of a release share source maps."""

    def __init__(self, app_id: int) -> None:
        self._app_id = app_id
        self._opened: OrderedDict[tuple[int, int], tuple[int, OpenedMap]] = OrderedDict()
        self._failed: dict[tuple[int, int], str] = {}
        self._found: dict[
            tuple[str, str, Script], tuple[ArtifactFile | None, ArtifactFile | None]
        ] = {}
        self.used_bundles: set[int] = set()

    def open(self, script: Script, *, release: str, dist: str) -> OpenedMap | None:
        """Return the source map of a script, or None if neither the script nor a source map was uploaded.

        Raises UnusableMap if the source map is missing, broken or too large, and StorageUnavailable.
        """
        key = (release, dist, script)
        if key not in self._found:
            self._found[key] = self._find(script, release, dist)
        file, source_map = self._found[key]
        if file is None and source_map is None:
            return None
        for one in (file, source_map):
            if one is not None:
                self.used_bundles.add(one.bundle_id)
        content_ids = (file.content_id if file else 0, source_map.content_id if source_map else 0)
        if content_ids in self._failed:
            raise UnusableMap(self._failed[content_ids])
        if content_ids in self._opened:
            self._opened.move_to_end(content_ids)
            return self._opened[content_ids][1]
        try:
            size, opened = _open(file, source_map)
        except UnusableMap as error:
            self._failed[content_ids] = str(error)
            raise
        self._opened[content_ids] = (size, opened)
        while len(self._opened) > 1 and (
            len(self._opened) > MAX_CACHED_MAPS
            or sum(size for size, _ in self._opened.values()) > MAX_CACHED_BYTES
        ):
            self._opened.popitem(last=False)
        return opened

    def _find(
        self, script: Script, release: str, dist: str
    ) -> tuple[ArtifactFile | None, ArtifactFile | None]:
        """Return the script's file and its source map. Each is None if it was not uploaded."""
        files = ArtifactFile.objects.filter(bundle__app=self._app_id).select_related(
            "content", "bundle"
        )
        if script.debug_id:
            by_id = files.filter(debug_id=script.debug_id).order_by("-bundle__uploaded_at", "-pk")
            file = by_id.filter(kind=ArtifactFile.Kind.SCRIPT).first()
            source_map = by_id.filter(kind=ArtifactFile.Kind.SOURCE_MAP).first()
            if source_map or file:
                return file, source_map or (file and self._referenced_map(file))
        if not release:
            return None, None
        names = _names(script.url)
        of_release = files.filter(
            Q(bundle__dist=dist) | Q(bundle__dist=""), bundle__release=release, url__in=names
        ).exclude(kind=ArtifactFile.Kind.SOURCE_MAP)
        by_name: dict[str, ArtifactFile] = {}
        for one in of_release.order_by("bundle__dist", "bundle__uploaded_at", "pk"):
            by_name[one.url] = one
        found = next((by_name[name] for name in names if name in by_name), None)
        return found, found and self._referenced_map(found)

    def _referenced_map(self, file: ArtifactFile) -> ArtifactFile | None:
        """Return the source map to which the script refers, or None if it was not uploaded.

        A source map with the script's debug id is preferred. Otherwise, it must be in the script's bundle or release.
        """
        if file.debug_id:
            same = ArtifactFile.objects.filter(
                bundle__app=self._app_id, debug_id=file.debug_id, kind=ArtifactFile.Kind.SOURCE_MAP
            )
            if found := same.select_related("content", "bundle").order_by("-pk").first():
                return found
        reference = file.source_map_url or _reference_in(file)
        if not reference or reference.startswith("data:"):
            return None
        names = _names(urljoin(file.url.replace("~/", "/", 1), reference))
        bundles = Q(bundle=file.bundle_id)
        if file.bundle.release:
            bundles |= Q(bundle__app=self._app_id, bundle__release=file.bundle.release)
        maps = ArtifactFile.objects.filter(bundles, url__in=names).select_related(
            "content", "bundle"
        )
        return maps.order_by("-bundle__uploaded_at", "-pk").first()


def _names(url: str) -> list[str]:
    """Return the names under which a file with this URL may have been uploaded, most exact name first."""
    whole = url.split("#", 1)[0]
    plain = whole.split("?", 1)[0]
    names = []
    for one in (whole, plain):
        path = path_of(one) if one == plain else "/" + one.partition("://")[2].partition("/")[2]
        names += [one, f"~{path}", path, path.lstrip("/")]
        if "://" not in one:
            names.append(f"app://{path}")
    return list(dict.fromkeys(names))


def _reference_in(file: ArtifactFile) -> str:
    """Return the URL of the source map from the last line of a script, or "" if the script names none."""
    content = storage.load(file.content.name, sha256=file.content.digest) or b""
    found = _REFERENCE.search(content.rstrip()[-_TAIL_BYTES:])
    return found[1].decode("utf-8", "replace") if found else ""


def _open(file: ArtifactFile | None, source_map: ArtifactFile | None) -> tuple[int, OpenedMap]:
    """Return the size and the opened source map. Raises UnusableMap if it is missing, too large or broken."""
    name = (source_map or file).url if (source_map or file) else ""  # type: ignore[union-attr]
    script = b""
    if file is not None:
        script = storage.load(file.content.name, sha256=file.content.digest) or b""
    if source_map is not None:
        content = storage.load(source_map.content.name, sha256=source_map.content.digest)
        if content is None:
            raise UnusableMap(f"The content of {name} is missing from the storage.")
    else:
        assert file is not None
        content = _inline_map(file, script)
        if content is None:
            raise UnusableMap(f"The source map of {name} was not uploaded.")
    if len(content) > MAX_MAP_BYTES:
        raise UnusableMap(f"{name} is larger than {MAX_MAP_BYTES // 2**20} MiB.")
    # The library takes much memory, so only the workers that resolve events import it.
    from symbolic.exceptions import SymbolicError
    from symbolic.sourcemapcache import SourceMapCache

    try:
        return len(content), SourceMapCache.from_bytes(script, content)
    except (SymbolicError, ValueError) as error:
        raise UnusableMap(f"{name} is not a readable source map: {str(error)[:200]}.") from None


def _inline_map(file: ArtifactFile, script: bytes) -> bytes | None:
    """Return the source map that a script contains as a data URL, or None."""
    reference = file.source_map_url
    if not reference.startswith("data:"):
        found = _REFERENCE.search(script.rstrip())
        reference = found[1].decode("utf-8", "replace") if found else ""
    if not reference.startswith("data:"):
        return None
    header, _, data = reference.partition(",")
    try:
        return base64.b64decode(data) if header.endswith(";base64") else unquote_to_bytes(data)
    except (ValueError, binascii.Error):
        return None
