"""Let sentry-cli and the bundler plugins upload source maps."""

import re
import zlib
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.http import BadRequest, json_response
from errors.models import ArtifactFile
from errors.services import artifacts
from errors.services.artifacts import CHUNK_BYTES, MAX_SINGLE_FILE_BYTES
from errors.source_maps.archive import MAX_URL_LENGTH
from errors.views.cli import check_projects, cli, read_object, text_of, version_of

CHUNKS_PER_REQUEST = 4
MAX_CHUNKS = 1_024
_SHA1 = re.compile(r"[0-9a-f]{40}")


@cli("GET", "POST")
def chunk_upload(request: HttpRequest, app: ClientApp, organization: str) -> HttpResponse:
    """For GET, return the options of uploads. For POST, save the chunks in the request."""
    if request.method == "GET":
        return json_response(_options(organization))
    now = timezone.now()
    files = request.FILES.getlist("file") + request.FILES.getlist("file_gzip")
    if len(files) > CHUNKS_PER_REQUEST:
        raise BadRequest(f"a request can have at most {CHUNKS_PER_REQUEST} chunks", 400)
    for file in files:
        content = file.read()
        if file.field_name == "file_gzip":  # type: ignore[attr-defined]
            content = _gunzip(content)
        checksum = str(file.name)
        if not _SHA1.fullmatch(checksum):
            raise BadRequest("the name of a chunk must be its SHA-1 checksum")
        artifacts.save_chunk(app=app, checksum=checksum, content=content, now=now)
    return json_response([])


def _options(organization: str) -> dict[str, Any]:
    path = reverse("errors:cli-chunk-upload", args=[organization])
    return {
        "url": settings.BASE_URL + path,
        "chunkSize": CHUNK_BYTES,
        "chunksPerRequest": CHUNKS_PER_REQUEST,
        "maxRequestSize": CHUNKS_PER_REQUEST * CHUNK_BYTES,
        "maxFileSize": MAX_CHUNKS * CHUNK_BYTES,
        "maxWait": 60,
        "hashAlgorithm": "sha1",
        "concurrency": 2,
        "compression": ["gzip"],
        "accept": ["release_files", "artifact_bundles", "artifact_bundles_v2"],
    }


def _gunzip(content: bytes) -> bytes:
    """Decompress a chunk. Raises BadRequest if it is not a complete gzip file, or is larger than CHUNK_BYTES."""
    try:
        decompressor = zlib.decompressobj(wbits=31)
        chunk = decompressor.decompress(content, CHUNK_BYTES + 1)
    except zlib.error as error:
        raise BadRequest(f"a chunk is not readable as gzip: {error}") from None
    if len(chunk) > CHUNK_BYTES or not decompressor.eof:
        raise BadRequest(f"a chunk is larger than {CHUNK_BYTES} bytes, or is incomplete")
    return chunk


@cli("POST")
def assemble_bundle(request: HttpRequest, app: ClientApp, organization: str) -> HttpResponse:
    body = read_object(request)
    check_projects(app, body.get("projects"))
    version = text_of(body, "version", 300)
    return _assemble(app, body, version_of(version) if version else "", text_of(body, "dist", 64))


@cli("POST")
def assemble_release(
    request: HttpRequest, app: ClientApp, organization: str, version: str
) -> HttpResponse:
    """Assemble the files of a release for old versions of sentry-cli, which upload no artifact bundles."""
    body = read_object(request)
    check_projects(app, body.get("projects"))
    return _assemble(app, body, version_of(version), text_of(body, "dist", 64))


def _assemble(app: ClientApp, body: dict[str, Any], release: str, dist: str) -> HttpResponse:
    checksum = text_of(body, "checksum", 40)
    chunks = body.get("chunks")
    if not _SHA1.fullmatch(checksum):
        raise BadRequest("`checksum` is not a SHA-1 checksum")
    if not isinstance(chunks, list) or not all(
        isinstance(one, str) and _SHA1.fullmatch(one) for one in chunks
    ):
        raise BadRequest("`chunks` is not a list of SHA-1 checksums")
    if not 1 <= len(chunks) <= MAX_CHUNKS:
        raise BadRequest(f"a bundle must have 1 to {MAX_CHUNKS} chunks")
    result = artifacts.assemble(
        app=app, checksum=checksum, chunks=chunks, release=release, dist=dist, now=timezone.now()
    )
    answer: dict[str, Any] = {"state": result.state, "missingChunks": result.missing}
    return json_response(answer | ({"detail": result.detail} if result.detail else {}))


@cli("GET", "POST")
def release_files(
    request: HttpRequest, app: ClientApp, organization: str, project: str, version: str
) -> HttpResponse:
    """List the files of a release, or save the file in the request."""
    version = version_of(version)
    if request.method == "GET":
        files = ArtifactFile.objects.filter(bundle__app=app, bundle__release=version)
        files = files.select_related("content", "bundle").order_by("-pk")[:1_000]
        return json_response([_described(file) for file in files])
    file = request.FILES.get("file")
    if file is None or file.file is None:
        raise BadRequest("the form has no file")
    if file.size is None or file.size > MAX_SINGLE_FILE_BYTES:
        raise BadRequest(f"the file is larger than {MAX_SINGLE_FILE_BYTES // 2**20} MiB", 413)
    url = (request.POST.get("name") or str(file.name)).strip()
    if not url or len(url) > MAX_URL_LENGTH or "\0" in url:
        raise BadRequest(f"`name` must have 1 to {MAX_URL_LENGTH} characters")
    saved = artifacts.save_release_file(
        app=app,
        release=version,
        dist=request.POST.get("dist", "")[:64].replace("\0", ""),
        url=url,
        content=file.file,
        source_map_url=_source_map_header(request.POST.getlist("header")),
        now=timezone.now(),
    )
    return json_response(_described(saved), status=201)


def _source_map_header(headers: list[str]) -> str:
    for header in headers:
        name, _, value = header.partition(":")
        if name.strip().lower() in ("sourcemap", "x-sourcemap"):
            return value.strip().replace("\0", "")[:MAX_URL_LENGTH]
    return ""


def _described(file: ArtifactFile) -> dict[str, Any]:
    return {
        "id": str(file.pk),
        "name": file.url,
        "dist": file.bundle.dist or None,
        "headers": {"Sourcemap": file.source_map_url} if file.source_map_url else {},
        "size": file.content.size_bytes,
        "sha1": "",
        "dateCreated": file.bundle.uploaded_at,
    }
