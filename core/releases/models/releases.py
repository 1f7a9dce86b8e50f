"""Define the releases of apps, and their deploys to environments."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone

from core.clients.models import ClientApp


def web_link(url: str) -> str:
    """Return the URL if it is an http(s) link, or else "", because clients choose these URLs."""
    return url if url.startswith(("https://", "http://")) else ""


class Release(models.Model):
    """A version of an app, created by a deploy, by sentry-cli, or by the first event that names the version."""

    MAX_VERSION_LENGTH = 200

    app = models.ForeignKey(ClientApp, models.CASCADE, related_name="releases")
    version = models.CharField(max_length=MAX_VERSION_LENGTH)
    created_at = models.DateTimeField(default=timezone.now)
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Time when the release was finalized"
    )
    url = models.CharField(max_length=500, blank=True)
    ref = models.CharField(max_length=200, blank=True, help_text="Branch, tag or commit")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["app", "version"], name="one_release_per_version")
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at"], name="releases_newest_first")]

    def __str__(self) -> str:
        return f"{self.app} {self.version}"

    @property
    def link(self) -> str:
        return web_link(self.url)


class DeployQuerySet(models.QuerySet["Deploy"]):
    def between(self, since: datetime, until: datetime) -> "DeployQuerySet":
        """Return the deploys that finished from `since` to `until`, both included."""
        return self.filter(finished_at__gte=since, finished_at__lte=until)

    def newest_first(self) -> "DeployQuerySet":
        return self.order_by("-finished_at", "-pk")


class Deploy(models.Model):
    """The start of a release in an environment: reported, or derived from the release's first event there."""

    class Source(models.TextChoices):
        API = "api", "Reported by the API"
        CLI = "cli", "Reported by sentry-cli"
        EVENT = "event", "Derived from the first event"

    release = models.ForeignKey(Release, models.CASCADE, related_name="deploys")
    environment = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True)
    url = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField()
    source = models.CharField(max_length=8, choices=Source)

    objects = DeployQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["release", "environment", "finished_at"], name="one_deploy_per_time"
            ),
            models.UniqueConstraint(
                fields=["release", "environment"],
                condition=models.Q(source="event"),
                name="one_derived_deploy_per_environment",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["finished_at"], name="deploys_by_time")]

    def __str__(self) -> str:
        return f"{self.release} to {self.environment}"

    @property
    def is_derived(self) -> bool:
        """Return True if this deploy was not reported but derived from the release's first event."""
        return self.source == self.Source.EVENT

    @property
    def link(self) -> str:
        return web_link(self.url)
