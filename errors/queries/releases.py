"""Read releases: their events, groups, users and sessions, and the commits that may have caused a group."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Sum

from core.clients.models import ClientApp
from core.releases.models import (
    Commit,
    CommitFile,
    Deploy,
    Release,
    ReleaseSessions,
    ReleaseUser,
)
from errors.event.accessors import exceptions_of, frames_of
from errors.models import ErrorGroup, GroupTag, ReleaseCount, ReleaseErrorUser
from errors.models.groups import ErrorGroupQuerySet


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
    """Return the newest release with commits that was created before this version.

    If no release has this version, return the newest release with commits.
    """
    releases = Release.objects.filter(app=app).exclude(version=version)
    releases = releases.filter(Exists(Commit.objects.filter(release=OuterRef("pk"))))
    this = Release.objects.filter(app=app, version=version).first()
    if this is not None:
        releases = releases.filter(created_at__lte=this.created_at)
    return releases.select_related("app").order_by("-created_at", "-pk").first()


def new_groups(release: Release) -> ErrorGroupQuerySet:
    """Return the groups that were first seen in the release."""
    return ErrorGroup.objects.visible().filter(app=release.app_id, first_release=release.version)


def regressed_groups(release: Release) -> ErrorGroupQuerySet:
    """Return the groups that regressed in the release."""
    return ErrorGroup.objects.visible().filter(
        app=release.app_id, regressed_in_release=release.version
    )


def new_group_count(release: Release) -> int:
    return new_groups(release).count()


# --- pages --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Health:
    """The health of a release by sessions and users. A percentage is None without sessions or users, respectively."""

    session_count: int = 0
    crashed_count: int = 0
    user_count: int = 0
    crashed_user_count: int = 0

    @property
    def crash_free_sessions(self) -> float | None:
        return _share_without(self.crashed_count, self.session_count)

    @property
    def crash_free_users(self) -> float | None:
        return _share_without(self.crashed_user_count, self.user_count)


def _share_without(crashed: int, total: int) -> float | None:
    """Return the percentage that did not crash, or None if `total` is 0.

    The percentage is rounded down, so that 100 % means that nothing crashed.
    """
    if not total:
        return None
    return math.floor(max(0, total - crashed) * 10_000 / total) / 100


@dataclass(frozen=True)
class ReleaseRow:
    """A release with the counts that the list of releases and the release's page show."""

    release: Release
    counts: EventCounts
    affected_user_count: int
    new_group_count: int
    regressed_group_count: int
    health: Health
    environments: list[str]


def describe_releases(releases: Sequence[Release]) -> list[ReleaseRow]:
    """Return the releases with their counts. The number of queries does not depend on the number of releases."""
    ids = [release.pk for release in releases]
    events = {
        row["release"]: EventCounts(row["sum"], row["first"], row["last"])
        for row in ReleaseCount.objects.filter(release__in=ids)
        .values("release")
        .annotate(sum=Sum("event_count"), first=Min("first_event_at"), last=Max("last_event_at"))
    }
    affected = dict(
        ReleaseErrorUser.objects.filter(release__in=ids)
        .values_list("release")
        .annotate(count=Count("user_key"))
        .order_by()
    )
    new = _groups_by_release(releases, "first_release")
    regressed = _groups_by_release(releases, "regressed_in_release")
    health = _health(ids)
    environments: dict[int, list[str]] = {}
    for release_id, environment in (
        Deploy.objects.filter(release__in=ids)
        .order_by("environment")
        .values_list("release", "environment")
        .distinct()
    ):
        environments.setdefault(release_id, []).append(environment)
    return [
        ReleaseRow(
            release=release,
            counts=events.get(release.pk, EventCounts(0, None, None)),
            affected_user_count=affected.get(release.pk, 0),
            new_group_count=new.get((release.app_id, release.version), 0),
            regressed_group_count=regressed.get((release.app_id, release.version), 0),
            health=health.get(release.pk, Health()),
            environments=environments.get(release.pk, []),
        )
        for release in releases
    ]


def _groups_by_release(releases: Sequence[Release], field: str) -> dict[tuple[int, str], int]:
    groups = ErrorGroup.objects.visible().filter(
        **{
            "app__in": {release.app_id for release in releases},
            f"{field}__in": [release.version for release in releases],
        }
    )
    found = groups.order_by().values_list("app_id", field).annotate(count=Count("pk"))
    return {(app_id, version): count for app_id, version, count in found}


def _health(ids: Sequence[int]) -> dict[int, Health]:
    sessions: dict[int, tuple[int, int]] = {
        release_id: (started, crashed)
        for release_id, started, crashed in ReleaseSessions.objects.filter(release__in=ids)
        .values_list("release")
        .annotate(sum=Sum("started"), crashed_sum=Sum("crashed"))
    }
    users: dict[int, tuple[int, int]] = {
        release_id: (count, crashed)
        for release_id, count, crashed in ReleaseUser.objects.filter(release__in=ids)
        .values_list("release")
        .annotate(count=Count("pk"), crashed_sum=Sum("crashed"))
    }
    return {
        pk: Health(*sessions.get(pk, (0, 0)), *users.get(pk, (0, 0)))
        for pk in sessions.keys() | users.keys()
    }


def groups_in_release(release: Release, *, limit: int = 20) -> list[tuple[ErrorGroup, int]]:
    """Return at most `limit` groups with the most events in the release, each with the number of these events."""
    counted = (
        GroupTag.objects.filter(
            key="release", value=release.version, group__app=release.app_id, count__gt=0
        )
        .values_list("group__merged_into", "group")
        .annotate(sum=Sum("count"))
        .order_by()
    )
    sums: dict[int, int] = {}
    for merged_into, group_id, count in counted:
        root = merged_into or group_id
        sums[root] = sums.get(root, 0) + count
    most = sorted(sums, key=lambda pk: (-sums[pk], pk))[:limit]
    groups = ErrorGroup.objects.in_bulk(most)
    return [(groups[pk], sums[pk]) for pk in most if pk in groups]


# --- suspect commits ----------------------------------------------------------------------------------
MAX_SUSPECTS = 3
_MAX_FRAMES = 30


@dataclass(frozen=True)
class SuspectCommit:
    """A commit that may have caused a group: it changed a file of the stack in the group's first release."""

    commit: Commit
    path: str
    function: str


def suspect_commits(group: ErrorGroup, payload: Mapping[str, Any]) -> list[SuspectCommit]:
    """Return at most MAX_SUSPECTS commits of the group's first release that changed a file of the stack.

    Commits that changed files near the error come first.
    """
    if not group.first_release:
        return []
    frames = _frames_nearest_first(payload)
    names = {_parts(frame["filename"])[-1].lower() for frame in frames}
    changed = list(
        CommitFile.objects.filter(
            commit__release__app=group.app_id,
            commit__release__version=group.first_release,
            name__in=names,
        )
        .select_related("commit__release")
        .order_by("commit__position")
    )
    found: dict[int, SuspectCommit] = {}
    for frame in frames:
        matching = [file for file in changed if _is_same_file(file.path, frame["filename"])]
        for file in matching:
            suspect = SuspectCommit(file.commit, file.path, str(frame.get("function") or ""))
            found.setdefault(file.commit_id, suspect)
    return list(found.values())[:MAX_SUSPECTS]


def _frames_nearest_first(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return up to _MAX_FRAMES frames that name a file, innermost first: the app's own or, without these, any."""
    exceptions = exceptions_of(payload)
    holder = exceptions[-1] if exceptions else payload
    frames = [
        frame
        for frame in frames_of(holder.get("stacktrace"))
        if isinstance(frame.get("filename"), str) and _parts(frame["filename"])
    ]
    own = [frame for frame in frames if frame.get("in_app")] or frames
    return own[::-1][:_MAX_FRAMES]


def _parts(path: str) -> list[str]:
    return [
        part
        for part in path.split("?", 1)[0].replace("\\", "/").split("/")
        if part not in ("", ".", "..")
    ]


def _is_same_file(committed: str, framed: str) -> bool:
    """Return True if one path ends with the other, as src/cart.js and web/src/cart.js do."""
    one, other = _parts(committed.lower()), _parts(framed.lower())
    length = min(len(one), len(other))
    return length > 0 and one[-length:] == other[-length:]
