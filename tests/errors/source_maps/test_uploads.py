"""Test that chunks uploaded by sentry-cli become a bundle, and that broken uploads have no effect."""

import gzip
import io
import random
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from core.clients import services as clients
from core.clients.models import ClientApp, Scope
from core.releases.models import Release
from errors.models import ArtifactBundle, ArtifactContent, ArtifactFile, UploadedChunk
from errors.services import artifacts
from errors.source_maps import archive as archives
from errors.source_maps import storage as contents
from errors.views import cli_uploads
from tests.errors.source_maps.built import Build, Cli, archive, chunks, sha1
from tests.factories import make_app

pytestmark = pytest.mark.django_db
BUILD = Build(debug_id="6d9e271d-ffad-5b97-a13d-8954e7fe7f2b")


def test_the_server_says_how_to_upload(cli: Cli) -> None:
    answer = cli.client.get(cli.url("chunk-upload/")).json()

    assert answer["url"].endswith("/api/0/organizations/acme/chunk-upload/")
    assert answer["chunkSize"] & (answer["chunkSize"] - 1) == 0
    assert answer["chunksPerRequest"] * answer["chunkSize"] < 5 * 1024 * 1024
    assert "artifact_bundles_v2" in answer["accept"]


def test_a_bundle_is_assembled_from_chunks(cli: Cli, storage: str) -> None:
    content = BUILD.archive()
    parts = chunks(content, 300)
    size = {"chunk_size": 300}

    first = cli.assemble(content, **size)
    for part in parts[:-1]:
        cli.send_chunks(part)
    second = cli.assemble(content, **size)
    cli.send_chunks(parts[-1])
    third = cli.assemble(content, version="shop@1.0", dist="7", **size)

    assert first.json() == {"state": "not_found", "missingChunks": [sha1(part) for part in parts]}
    assert second.json() == {"state": "not_found", "missingChunks": [sha1(parts[-1])]}
    assert third.json() == {"state": "ok", "missingChunks": []}
    bundle = ArtifactBundle.objects.get()
    assert (bundle.app, bundle.release, bundle.dist, bundle.file_count) == (
        cli.app,
        "shop@1.0",
        "7",
        2,
    )
    script, source_map = bundle.files.order_by("url")
    assert (script.kind, script.url, script.source_map_url) == (
        "script",
        "~/static/app.js",
        "app.js.map",
    )
    assert (source_map.kind, source_map.debug_id) == ("map", "6d9e271dffad5b97a13d8954e7fe7f2b")
    digest = source_map.content.digest
    assert contents.load(source_map.content.name, sha256=digest) == BUILD.map
    assert Release.objects.get().version == "shop@1.0"
    assert not UploadedChunk.objects.exists()
    assert contents.load(UploadedChunk(app=cli.app, checksum=sha1(parts[0])).name) is None


def test_a_repeated_upload_is_stored_once(cli: Cli) -> None:
    first = cli.upload(BUILD.archive(), version="1.0")
    again = cli.assemble(BUILD.archive(), version="1.0").json()

    assert first == again == {"state": "ok", "missingChunks": []}
    assert ArtifactBundle.objects.count() == 1


def test_a_file_in_two_bundles_is_stored_once(cli: Cli) -> None:
    cli.upload(BUILD.archive(note="one"))
    cli.upload(BUILD.archive(note="two"))

    assert ArtifactBundle.objects.count() == 2
    assert ArtifactContent.objects.count() == 2


def test_chunks_may_be_compressed(cli: Cli) -> None:
    content = BUILD.archive()
    answer = cli.client.post(
        cli.url("chunk-upload/"), {"file_gzip": [_named(sha1(content), gzip.compress(content))]}
    )

    assert answer.status_code == 200
    assert cli.assemble(content).json()["state"] == "ok"


def _named(name: str, content: bytes) -> Any:
    return SimpleUploadedFile(name, content)


@pytest.mark.parametrize(
    ("field", "name", "content"),
    [
        ("file", "0" * 40, b"something else"),
        ("file", "../../etc/passwd", b"x"),
        ("file_gzip", sha1(b"x"), b"not gzip"),
        ("file_gzip", sha1(b"x"), gzip.compress(b"x")[:-4]),
        ("file_gzip", sha1(bytes(9_000_000)), gzip.compress(bytes(9_000_000))),
    ],
    ids=["other checksum", "no checksum", "not gzip", "truncated", "bomb"],
)
def test_a_bad_chunk_is_rejected(cli: Cli, field: str, name: str, content: bytes) -> None:
    answer = cli.client.post(cli.url("chunk-upload/"), {field: [_named(name, content)]})

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not UploadedChunk.objects.exists()


def test_waiting_chunks_are_limited(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_WAITING_BYTES", 10)

    assert cli.send_chunks(b"12345").status_code == 200
    assert cli.send_chunks(b"1234567").status_code == 400


def broken_zip() -> bytes:
    content = bytearray(BUILD.archive())
    content[60:90] = random.Random(7).randbytes(30)
    return bytes(content)


def manifest_only(manifest: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("manifest.json", manifest)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"no zip", "not a readable artifact bundle"),
        (BUILD.archive()[:200], "not a readable artifact bundle"),
        (broken_zip(), "not readable"),
        (manifest_only(b"{"), "not a readable artifact bundle"),
        (manifest_only(b'{"files": {"a": {"type": "source", "url": "~/a"}}}'), "a is missing"),
        (
            archive({"a": ({"type": "source", "url": "~/a"}, bytes(2_000_000))}),
            "a is larger than 1 MiB",
        ),
    ],
    ids=["text", "truncated", "corrupt", "manifest", "missing file", "bomb"],
)
def test_a_broken_bundle_fails_with_the_reason(
    cli: Cli, content: bytes, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_FILE_BYTES", 1024 * 1024)

    answer = cli.upload(content)

    assert answer["state"] == "error"
    assert detail in answer["detail"]
    assert not ArtifactBundle.objects.exists()


@pytest.mark.parametrize("manifest", [b"[]", b'{"files": []}', b'{"files": {"a": 7}}'])
def test_a_bundle_without_files_is_empty(cli: Cli, manifest: bytes) -> None:
    assert cli.upload(manifest_only(manifest))["state"] == "ok"
    assert ArtifactBundle.objects.get().file_count == 0


def test_the_total_size_of_a_bundle_is_limited(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 1_000)
    files = {f"{n}": ({"type": "source", "url": f"~/{n}"}, bytes(600)) for n in "ab"}

    assert cli.upload(archive(files))["state"] == "error"


def test_chunks_that_do_not_add_up_to_the_file_are_rejected(cli: Cli) -> None:
    cli.send_chunks(b"one")
    answer = cli.client.post(
        cli.url("artifactbundle/assemble/"),
        {"checksum": sha1(b"two"), "chunks": [sha1(b"one")], "projects": ["shop"]},
        "application/json",
    )

    assert answer.json()["state"] == "error"
    assert "checksum" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"checksum": "x", "chunks": [sha1(b"")]},
        {"checksum": sha1(b""), "chunks": []},
        {"checksum": sha1(b""), "chunks": ["x"]},
        {"checksum": sha1(b""), "chunks": [sha1(b"")] * 2_000},
        {"checksum": sha1(b""), "chunks": [sha1(b"")], "version": "a/b"},
        {"checksum": sha1(b""), "chunks": [sha1(b"")], "version": 7},
        {"checksum": sha1(b""), "chunks": [sha1(b"")], "projects": ["other"]},
    ],
)
def test_an_invalid_assembly_is_rejected(cli: Cli, body: dict[str, Any]) -> None:
    answer = cli.client.post(cli.url("artifactbundle/assemble/"), body, "application/json")

    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_an_app_does_not_see_the_chunks_of_another(cli: Cli) -> None:
    cli.send_chunks(BUILD.archive())

    answer = Cli(make_app("blog")).assemble(BUILD.archive())

    assert answer.json()["state"] == "not_found"


# --- single files, as older versions upload them ------------------------------------------------------
def test_single_files_of_a_release_are_saved(cli: Cli) -> None:
    url = "/api/0/projects/acme/shop/releases/1.0/files/"
    form = {
        "file": _named("app.js", BUILD.script),
        "name": "~/app.js",
        "header": "Sourcemap:app.js.map",
    }

    script = cli.client.post(url, form)
    source_map = cli.client.post(
        url, {"file": _named("app.js.map", BUILD.map), "name": "~/app.js.map"}
    )
    again = cli.client.post(url, {"file": _named("app.js.map", b"{}"), "name": "~/app.js.map"})
    listed = cli.client.get(url).json()

    assert (script.status_code, source_map.status_code, again.status_code) == (201, 201, 201)
    assert script.json()["headers"] == {"Sourcemap": "app.js.map"}
    assert sorted(file["name"] for file in listed) == ["~/app.js", "~/app.js.map"]
    assert [file.kind for file in ArtifactFile.objects.order_by("url")] == ["script", "map"]
    assert ArtifactFile.objects.get(url="~/app.js.map").content.size_bytes == 2


@pytest.mark.parametrize("form", [{}, {"file": _named("a", b"x"), "name": "~/" + "a" * 600}])
def test_an_invalid_single_file_is_rejected(cli: Cli, form: dict[str, Any]) -> None:
    answer = cli.client.post("/api/0/projects/acme/shop/releases/1.0/files/", form)

    assert answer.status_code == 400


def test_a_large_single_file_is_saved_up_to_the_limit(
    cli: Cli, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "/api/0/projects/acme/shop/releases/1.0/files/"
    large = b'{"version":3,"sources":["' + b"a" * (3 * 1024 * 1024) + b'"],"mappings":""}'
    monkeypatch.setattr(cli_uploads, "MAX_SINGLE_FILE_BYTES", len(large))

    saved = cli.client.post(url, {"file": _named("app.json", large), "name": "~/app.json"})
    refused = cli.client.post(url, {"file": _named("b.json", large + b" "), "name": "~/b.json"})

    assert (saved.status_code, refused.status_code) == (201, 413)
    file = ArtifactFile.objects.select_related("content").get()
    assert (file.kind, file.content.size_bytes) == ("map", len(large))
    assert contents.load(file.content.name, sha256=file.content.digest) == large


def test_an_upload_is_refused_while_the_storage_is_unavailable(
    cli: Cli, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    answer = cli.send_chunks(BUILD.archive())

    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert "storage" in answer.json()["detail"]
    assert not UploadedChunk.objects.exists()


def test_the_archive_of_a_release_is_assembled(cli: Cli) -> None:
    content = BUILD.archive()
    cli.send_chunks(content)

    answer = cli.client.post(
        cli.url("releases/shop@1.0/assemble/"),
        {"checksum": sha1(content), "chunks": [sha1(content)]},
        "application/json",
    )

    assert answer.json()["state"] == "ok"
    assert ArtifactBundle.objects.get().release == "shop@1.0"


# --- who may upload -------------------------------------------------------------------------------------
def test_uploads_need_a_key_with_the_scope(shop: ClientApp) -> None:
    url = "/api/0/organizations/acme/chunk-upload/"
    others = [scope for scope in Scope.values if scope != Scope.RELEASES]
    _, wrong = clients.issue_api_key(app=shop, scopes=others)
    public = clients.issue_dsn_key(app=shop).public_key

    assert Client().get(url).status_code == 401
    assert Client(headers={"Authorization": f"Bearer {wrong}"}).get(url).status_code == 403
    assert Client(headers={"Authorization": f"Bearer {public}"}).get(url).status_code == 403


def test_a_key_that_has_expired_is_rejected(shop: ClientApp) -> None:
    url = "/api/0/organizations/acme/chunk-upload/"
    key, secret = clients.issue_api_key(
        app=shop, scopes=[Scope.RELEASES], expires_at=timezone.now() + timedelta(hours=1)
    )
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    assert client.get(url).status_code == 200

    type(key).objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert client.get(url).status_code == 403
