"""Define uploaded build artifacts (minified scripts, source maps, sources), and the stacks resolved with them.

The contents of files are kept in a Django storage (errors.source_maps.storage) under their digests, so that a file that
two builds share is stored once.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from core.clients.models import ClientApp
from errors.models.events import ErrorEvent


class ArtifactBundle(models.Model):
    """An upload by sentry-cli or a bundler plugin: the files of one build."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="artifact_bundles")
    release = models.CharField(max_length=200, blank=True)
    dist = models.CharField(max_length=64, blank=True)
    checksum = models.CharField(max_length=40)
    file_count = models.PositiveIntegerField(default=0)
    uploaded_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    # Events that were stored around the time of an upload might not be marked
    # for resolution. A second pass marks them and sets `is_settled`.
    is_settled = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["app", "checksum", "release", "dist"], name="one_bundle_per_upload"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["app", "release", "-uploaded_at"], name="bundles_of_release"),
            models.Index(fields=["app"], condition=Q(is_settled=False), name="unsettled_bundles"),
        ]

    def __str__(self) -> str:
        return f"{self.app} {self.release or self.checksum[:8]}"


class ArtifactContent(models.Model):
    """The content of one or more files of an app, compressed with zstd."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)  # SHA-256 of the uncompressed content.
    size_bytes = models.PositiveBigIntegerField()
    stored_bytes = models.PositiveBigIntegerField()
    saved_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "digest"], name="one_content_per_digest")
        ]

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def name(self) -> str:
        """Return the name under which the storage keeps the content."""
        return f"{self.app_id}/{self.digest[:2]}/{self.digest}"


class ArtifactFile(models.Model):
    """A file of a bundle, found by its debug id or by its URL."""

    class Kind(models.TextChoices):
        SCRIPT = "script", "Script"
        SOURCE_MAP = "map", "Source map"
        SOURCE = "source", "Source"

    bundle = models.ForeignKey(ArtifactBundle, models.CASCADE, related_name="files")
    content = models.ForeignKey(ArtifactContent, models.PROTECT, related_name="files")
    kind = models.CharField(max_length=8, choices=Kind)
    url = models.CharField(max_length=500)
    debug_id = models.CharField(max_length=32, blank=True)
    source_map_url = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["bundle", "url"], name="one_file_per_url")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["debug_id"], condition=~Q(debug_id=""), name="artifacts_by_debug_id"
            ),
        ]

    def __str__(self) -> str:
        return self.url


class UploadedChunk(models.Model):
    """A part of an upload that has not been assembled yet. Its content is in the storage of source maps."""

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="+")
    checksum = models.CharField(max_length=40)  # The upload protocol requires SHA-1.
    size_bytes = models.PositiveIntegerField()
    uploaded_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "checksum"], name="one_chunk_per_checksum")
        ]

    def __str__(self) -> str:
        return self.checksum

    @property
    def name(self) -> str:
        return f"{self.app_id}/chunks/{self.checksum}"


class StoredContent(models.Model):
    """A file in the database storage, for portals with several nodes and neither a shared folder nor S3."""

    name = models.CharField(max_length=200, primary_key=True)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.name


class EventToResolve(models.Model):
    """An event whose frames are waiting to be resolved with source maps. The row is deleted after the resolution."""

    event = models.OneToOneField(
        ErrorEvent, models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"event {self.event_id}"


class ResolvedStack(models.Model):
    """The original frames of one or more events, as zstd-compressed JSON."""

    digest = models.CharField(max_length=32, unique=True)
    data = models.BinaryField()

    def __str__(self) -> str:
        return self.digest


class ResolvedEvent(models.Model):
    """An event after the attempt to resolve its frames. If `is_complete` is False, uploads queue the event again."""

    event = models.OneToOneField(
        ErrorEvent, models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    stack = models.ForeignKey(ResolvedStack, models.CASCADE, null=True, related_name="+")
    is_complete = models.BooleanField()
    # Sentences for the event page that explain why some frames could not be resolved.
    problems = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"resolved event {self.event_id}"
