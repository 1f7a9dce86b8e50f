"""Test that uploads are deleted when they have not been used for a long time, or when an app exceeds its limit."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from errors.models import (
    ArtifactBundle,
    ArtifactContent,
    ErrorEvent,
    ResolvedEvent,
    ResolvedStack,
    UploadedChunk,
    received_id,
)
from errors.services import artifact_retention, resolution
from errors.source_maps import storage as contents
from errors.store import to_resolve
from tests.errors.source_maps.built import Build, Cli
from tests.errors.support import Sender
from tests.factories import make_app

pytestmark = pytest.mark.django_db
FIRST = Build(names="tn")
SECOND = Build(names="xy", source=FIRST.source.replace("checkout", "payNow"))


def test_uploads_that_have_not_been_used_for_long_are_deleted(
    cli: Cli, storage: str, settings: Settings
) -> None:
    settings.SOURCE_MAP_DAYS = 30
    now = timezone.now()
    cli.upload(FIRST.archive(), version="1.0")
    cli.upload(SECOND.archive(), version="2.0")
    ArtifactBundle.objects.filter(release="1.0").update(last_used_at=now - timedelta(days=31))
    ArtifactContent.objects.update(saved_at=now - timedelta(days=31))
    [old_map] = ArtifactContent.objects.filter(
        files__url="~/static/app.js.map", files__bundle__release="1.0"
    )

    removed = artifact_retention.prune(now=now)

    assert removed == {"bundles": 1, "contents": 2, "chunks": 0}
    assert [bundle.release for bundle in ArtifactBundle.objects.all()] == ["2.0"]
    assert contents.load(old_map.name) is None
    [kept] = ArtifactContent.objects.filter(files__url="~/static/app.js.map")
    assert contents.load(kept.name, sha256=kept.digest) == SECOND.map


def test_an_app_over_its_limit_loses_its_least_used_uploads(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    other = Cli(make_app("blog"))
    for one in (cli, other):
        one.upload(FIRST.archive(), version="1.0")
    ArtifactBundle.objects.update(last_used_at=now - timedelta(days=1))
    cli.upload(SECOND.archive(), version="2.0")
    size = artifact_retention.stored_bytes(other.app.pk)
    monkeypatch.setattr(
        "errors.services.artifact_retention.settings.SOURCE_MAP_MB_PER_APP", 1.5 * size / 1_000_000
    )

    assert artifact_retention.prune(now=now)["bundles"] == 1

    left = {(bundle.app.slug, bundle.release) for bundle in ArtifactBundle.objects.all()}
    assert left == {("shop", "2.0"), ("blog", "1.0")}


def test_the_contents_of_a_running_upload_and_shared_contents_are_kept(cli: Cli) -> None:
    now = timezone.now()
    cli.upload(FIRST.archive(note="one"))
    cli.upload(FIRST.archive(note="two"))
    ArtifactBundle.objects.order_by("pk").first().delete()  # type: ignore[union-attr]

    assert artifact_retention.prune(now=now + timedelta(days=1))["contents"] == 0
    ArtifactBundle.objects.all().delete()
    assert artifact_retention.prune(now=now)["contents"] == 0
    assert artifact_retention.prune(now=now + timedelta(hours=2))["contents"] == 2


def test_chunks_that_were_never_assembled_are_deleted(cli: Cli) -> None:
    cli.send_chunks(b"part")
    chunk = UploadedChunk.objects.get()

    assert artifact_retention.prune(now=timezone.now())["chunks"] == 0
    assert artifact_retention.prune(now=timezone.now() + timedelta(days=2))["chunks"] == 1
    assert contents.load(chunk.name) is None


def test_a_resolution_counts_as_use(cli: Cli) -> None:
    build = Build(debug_id="6d9e271d-ffad-5b97-a13d-8954e7fe7f2b")
    cli.upload(build.archive())
    ArtifactBundle.objects.update(last_used_at=timezone.now() - timedelta(days=80))
    to_resolve.clear()

    Sender(cli.app).send(build.event())
    now = timezone.now()
    resolution.resolve_pending(now=now)

    assert ArtifactBundle.objects.get().last_used_at == now


def test_resolved_stacks_are_deleted_with_their_events(cli: Cli) -> None:
    build = Build(debug_id="6d9e271d-ffad-5b97-a13d-8954e7fe7f2b")
    cli.upload(build.archive())
    to_resolve.clear()
    Sender(cli.app).send(build.event())
    resolution.resolve_pending(now=timezone.now())
    [event] = ErrorEvent.objects.all()
    ResolvedEvent.objects.create(
        event_id=received_id(timezone.now() - timedelta(days=40)),
        stack=ResolvedStack.objects.create(digest="old", data=b""),
        is_complete=True,
    )

    assert artifact_retention.prune_resolved(now=timezone.now()) == 1

    assert [row.pk for row in ResolvedEvent.objects.all()] == [event.pk]
    assert ResolvedStack.objects.count() == 1
