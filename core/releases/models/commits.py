"""Define the commits of a release, as sentry-cli sends them."""

from typing import ClassVar

from django.db import models

from core.releases.models.releases import Release


class Commit(models.Model):
    """A commit in a release, stored with its author's name but without the e-mail address."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="commits")
    sha = models.CharField(max_length=64)
    repository = models.CharField(max_length=200, blank=True)
    author = models.CharField(max_length=100, blank=True)
    message = models.CharField(max_length=500, blank=True)
    committed_at = models.DateTimeField(null=True, blank=True)
    position = models.PositiveIntegerField(help_text="0 is the newest commit of the release")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["release", "sha"], name="one_commit_per_sha")
        ]

    def __str__(self) -> str:
        return f"{self.sha[:8]} {self.title}"

    @property
    def title(self) -> str:
        return self.message.split("\n", 1)[0]


class CommitFile(models.Model):
    """A file that a commit changed."""

    commit = models.ForeignKey(Commit, models.CASCADE, related_name="files")
    path = models.CharField(max_length=500)
    # The last part of the path, which is used to find the file of a stack frame.
    name = models.CharField(max_length=200)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["name"], name="commit_files_by_name")]

    def __str__(self) -> str:
        return self.path
