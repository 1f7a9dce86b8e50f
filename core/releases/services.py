"""Create releases and record their deploys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from core.clients.models import ClientApp
from core.lib.durability import ensure_replicated
from core.lib.scrub import scrub_text
from core.releases.models import Commit, CommitFile, Deploy, Release

# A deploy is often reported after the new release has served its first requests. If the deploy finished at most this
# long after the first event, it replaces the deploy that was derived from that event.
REPORT_DELAY = timedelta(hours=1)


def ensure_release(*, app: ClientApp, version: str, now: datetime) -> Release:
    """Return the app's release with this version. Create it if it does not exist."""
    release, _ = Release.objects.get_or_create(
        app=app, version=version, defaults={"created_at": now}
    )
    return release


@transaction.atomic
def record_deploy(
    *,
    app: ClientApp,
    version: str,
    environment: str,
    source: Deploy.Source,
    now: datetime,
    name: str = "",
    url: str = "",
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> tuple[Deploy, bool]:
    """Record a deploy. Return it, and True if it is new or False if the same deploy was recorded before.

    Reports with the same release, environment and time count as the same deploy. A new deploy replaces the one derived
    from the first event, unless it finished more than REPORT_DELAY after that event and is therefore another deploy.
    """
    finished_at = finished_at or now
    name, url = scrub_text(name), scrub_text(url)
    release = ensure_release(app=app, version=version, now=now)
    deploy, is_new = Deploy.objects.get_or_create(
        release=release,
        environment=environment,
        finished_at=finished_at,
        defaults={"name": name, "url": url, "started_at": started_at, "source": source},
    )
    if not is_new:
        ensure_replicated()
    if deploy.is_derived:
        deploy.name, deploy.url, deploy.started_at, deploy.source = name, url, started_at, source
        deploy.save(update_fields=["name", "url", "started_at", "source"])
    Deploy.objects.filter(
        release=release,
        environment=environment,
        source=Deploy.Source.EVENT,
        finished_at__gte=finished_at - REPORT_DELAY,
    ).delete()
    return deploy, is_new


@transaction.atomic
def record_first_event(*, app: ClientApp, version: str, environment: str, at: datetime) -> bool:
    """Derive a deploy from the first event of a release in an environment, unless a deploy is known.

    Return True if a deploy was added.
    """
    release = ensure_release(app=app, version=version, now=at)
    if Deploy.objects.filter(release=release, environment=environment).exists():
        return False
    _, is_new = Deploy.objects.get_or_create(
        release=release,
        environment=environment,
        source=Deploy.Source.EVENT,
        defaults={"finished_at": at},
    )
    return is_new


def update_release(
    release: Release, *, released_at: datetime | None = None, url: str = "", ref: str = ""
) -> None:
    """Update the given fields. An empty value leaves its field unchanged."""
    release.released_at = released_at or release.released_at
    release.url = scrub_text(url) or release.url
    release.ref = ref or release.ref
    release.save(update_fields=["released_at", "url", "ref"])


def delete_release(release: Release) -> None:
    """Delete a release with its deploys, commits and counts. Events of the version are kept."""
    release.delete()


@dataclass(frozen=True)
class NewCommit:
    sha: str
    repository: str = ""
    author: str = ""
    message: str = ""
    committed_at: datetime | None = None
    paths: Sequence[str] = ()


@transaction.atomic
def set_commits(release: Release, commits: Sequence[NewCommit]) -> None:
    """Replace the commits of a release. `commits` has the newest commit first."""
    Release.objects.select_for_update().get(pk=release.pk)
    release.commits.all().delete()
    unique: dict[str, NewCommit] = {}
    for commit in commits:
        unique.setdefault(commit.sha, commit)
    rows = Commit.objects.bulk_create(
        Commit(
            release=release,
            sha=commit.sha,
            repository=scrub_text(commit.repository)[:200],
            author=scrub_text(commit.author)[:100],
            message=scrub_text(commit.message)[:500],
            committed_at=commit.committed_at,
            position=position,
        )
        for position, commit in enumerate(unique.values())
    )
    CommitFile.objects.bulk_create(
        (
            CommitFile(commit=row, path=path[-500:], name=path.rpartition("/")[2][-200:].lower())
            for row in rows
            for path in unique[row.sha].paths
        ),
        batch_size=500,
    )
