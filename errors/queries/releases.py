"""Queries about releases: their events, groups, users, sessions, and the commits that may have caused a group."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, Max, Min, OuterRef, QuerySet, Sum

from core.clients.models import ClientApp
from core.releases.models import Commit, Release
from errors.models import ErrorGroup, ReleaseCount


@dataclass(frozen=True)
class EventCounts:
    event_count: int
    first_event_at: datetime | None
    last_event_at: datetime | None


def event_counts(release: Release) -> EventCounts:
    found = ReleaseCount.objects.filter(release=release).aggregate(
        count=Sum("event_count"), first=Min("first_event_at"), last=Max("last_event_at")
    )
    return EventCounts(found["count"] or 0, found["first"], found["last"])


def newest_releases(app: ClientApp, *, limit: int) -> list[Release]:
    releases = Release.objects.filter(app=app).select_related("app")
    return list(releases.order_by("-created_at", "-pk")[:limit])


def previous_with_commits(app: ClientApp, version: str) -> Release | None:
    """Return the newest release with commits that is older than this one, or the newest one if this is unknown."""
    releases = Release.objects.filter(app=app).exclude(version=version)
    releases = releases.filter(Exists(Commit.objects.filter(release=OuterRef("pk"))))
    this = Release.objects.filter(app=app, version=version).first()
    if this is not None:
        releases = releases.filter(created_at__lte=this.created_at)
    return releases.select_related("app").order_by("-created_at", "-pk").first()


def new_groups(release: Release) -> QuerySet[ErrorGroup]:
    """Return the groups that were first seen in the release."""
    return ErrorGroup.objects.visible().filter(app=release.app_id, first_release=release.version)


def regressed_groups(release: Release) -> QuerySet[ErrorGroup]:
    """Return the groups that regressed in the release, most recently in it."""
    return ErrorGroup.objects.visible().filter(
        app=release.app_id, regressed_in_release=release.version
    )


def new_group_count(release: Release) -> int:
    return new_groups(release).count()
