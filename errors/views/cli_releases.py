"""Let sentry-cli create, finalize and delete releases, and send commits and deploys."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.http import BadRequest, json_response
from core.releases import services
from core.releases.models import Deploy, Release
from core.releases.services import NewCommit
from errors.queries import releases as queries
from errors.views.cli import ORGANIZATION, check_projects, cli, read_object, text_of, version_of

MAX_COMMITS = 1_000
MAX_FILES_PER_COMMIT = 500
MAX_LISTED = 100


# --- information about the server ---------------------------------------------------------------------
@cli("GET")
def info(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Return the permissions of the key. `sentry-cli info` calls this endpoint to verify the key."""
    scopes = ["org:read", "project:read", "project:releases"]
    return json_response({"version": "0", "auth": {"scopes": scopes}, "user": None})


@cli("GET")
def organizations(request: HttpRequest, app: ClientApp) -> HttpResponse:
    return json_response([{"id": "1", "slug": ORGANIZATION, "name": "opsportal", **_SINCE}])


_SINCE = {
    "dateCreated": "2020-01-01T00:00:00Z",
    "isEarlyAdopter": False,
    "require2FA": False,
    "requireEmailVerification": False,
    "features": [],
}


@cli("GET")
def regions(request: HttpRequest, app: ClientApp) -> HttpResponse:
    return json_response({"regions": [{"name": "opsportal", "url": settings.BASE_URL}]})


@cli("GET")
def projects(request: HttpRequest, app: ClientApp, organization: str) -> HttpResponse:
    return json_response([_project(app) | {"team": None, "teams": []}])


@cli("GET")
def repositories(request: HttpRequest, app: ClientApp, organization: str) -> HttpResponse:
    """Return no repositories, so that sentry-cli reads the commits from the local repository."""
    return json_response([])


# --- releases -----------------------------------------------------------------------------------------
@cli("GET", "POST")
def release_list(
    request: HttpRequest, app: ClientApp, organization: str, project: str = ""
) -> HttpResponse:
    if request.method == "GET":
        found = queries.newest_releases(app, limit=MAX_LISTED)
        return json_response([_described(release) for release in found])
    body = read_object(request)
    check_projects(app, body.get("projects"))
    version = version_of(text_of(body, "version", 300))
    is_new = not Release.objects.filter(app=app, version=version).exists()
    release = _update(services.ensure_release(app=app, version=version, now=timezone.now()), body)
    return json_response(_described(release), status=201 if is_new else 208)


@cli("GET", "PUT", "DELETE")
def release_detail(
    request: HttpRequest, app: ClientApp, organization: str, version: str, project: str = ""
) -> HttpResponse:
    if request.method == "PUT":
        body = read_object(request)
        check_projects(app, body.get("projects"))
        version = version_of(version)
        release = services.ensure_release(app=app, version=version, now=timezone.now())
        return json_response(_described(_update(release, body)))
    release = _get(app, version)
    if request.method == "DELETE":
        services.delete_release(release)
        return HttpResponse(status=204)
    return json_response(_described(release))


@cli("GET")
def release_commits(
    request: HttpRequest, app: ClientApp, organization: str, version: str, project: str = ""
) -> HttpResponse:
    release = _get(app, version)
    return json_response(
        [_commit(one.sha, one.message) for one in release.commits.order_by("position")]
    )


@cli("GET")
def previous_with_commits(
    request: HttpRequest, app: ClientApp, organization: str, version: str
) -> HttpResponse:
    """Return the newest earlier release with commits, or {}. sentry-cli sends only the commits since then."""
    found = queries.previous_with_commits(app, version)
    return json_response(_described(found) if found else {})


@cli("GET", "POST")
def release_deploys(
    request: HttpRequest, app: ClientApp, organization: str, version: str
) -> HttpResponse:
    if request.method == "GET":
        deploys = _get(app, version).deploys.newest_first()
        return json_response([_deploy(deploy) for deploy in deploys[:MAX_LISTED]])
    body = read_object(request)
    environment = text_of(body, "environment", 64)
    if not environment:
        raise BadRequest("`environment` is missing")
    started_at, finished_at = _time(body, "dateStarted"), _time(body, "dateFinished")
    deploy, _ = services.record_deploy(
        app=app,
        version=version_of(version),
        environment=environment,
        source=Deploy.Source.CLI,
        now=timezone.now(),
        name=text_of(body, "name", 200),
        url=text_of(body, "url", 500),
        started_at=started_at,
        finished_at=finished_at,
    )
    return json_response(_deploy(deploy), status=201)


def _get(app: ClientApp, version: str) -> Release:
    release = Release.objects.filter(app=app, version=version).first()
    if release is None:
        raise BadRequest("This release does not exist.", 404)
    return release


def _update(release: Release, body: dict[str, Any]) -> Release:
    commits = body.get("commits")
    if commits is not None:
        services.set_commits(release, _commits(commits))
    refs = body.get("refs")
    services.update_release(
        release,
        released_at=_time(body, "dateReleased"),
        url=text_of(body, "url", 500),
        ref=text_of(body, "ref", 200) or _ref(refs),
    )
    if refs == []:  # `set-commits --clear` sends an empty list.
        services.set_commits(release, [])
    return release


def _ref(refs: Any) -> str:
    first = refs[0] if isinstance(refs, list) and refs else {}
    commit = first.get("commit") if isinstance(first, dict) else None
    return commit.replace("\0", "")[:200] if isinstance(commit, str) else ""


def _commits(given: Any) -> list[NewCommit]:
    if not isinstance(given, list):
        raise BadRequest("`commits` is not a list")
    if len(given) > MAX_COMMITS:
        raise BadRequest(f"the list has more than {MAX_COMMITS} commits")
    found = []
    for one in given:
        if not isinstance(one, dict):
            raise BadRequest("a commit is not an object")
        patches = one.get("patch_set")
        paths = [
            patch["path"].replace("\0", "")
            for patch in (patches if isinstance(patches, list) else [])[:MAX_FILES_PER_COMMIT]
            if isinstance(patch, dict) and isinstance(patch.get("path"), str)
        ]
        sha = text_of(one, "id", 64)
        if not sha:
            raise BadRequest("a commit has no `id`")
        found.append(
            NewCommit(
                sha=sha,
                repository=text_of(one, "repository", 200),
                author=text_of(one, "author_name", 200),
                message=text_of(one, "message", 1_000_000),
                committed_at=_time(one, "timestamp"),
                paths=paths,
            )
        )
    return found


def _time(body: dict[str, Any], name: str) -> datetime | None:
    text = text_of(body, name, 64)
    if not text:
        return None
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"`{name}` is not a timestamp") from None
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


# --- responses ----------------------------------------------------------------------------------------
def _described(release: Release) -> dict[str, Any]:
    last_commit = release.commits.order_by("position").first()
    counts = queries.event_counts(release)
    return {
        "id": release.pk,
        "version": release.version,
        "shortVersion": release.version,
        "status": "open",
        "url": release.url or None,
        "ref": release.ref or None,
        "dateCreated": release.created_at,
        "dateReleased": release.released_at,
        "firstEvent": counts.first_event_at,
        "lastEvent": counts.last_event_at,
        "newGroups": queries.new_group_count(release),
        "commitCount": release.commits.count(),
        "deployCount": release.deploys.count(),
        "projects": [_project(release.app)],
        "lastCommit": _commit(last_commit.sha, last_commit.message) if last_commit else None,
    }


def _project(app: ClientApp) -> dict[str, Any]:
    return {"id": str(app.pk), "slug": app.slug, "name": app.name, "platform": app.platform}


def _commit(sha: str, message: str) -> dict[str, Any]:
    return {"id": sha, "message": message}


def _deploy(deploy: Deploy) -> dict[str, Any]:
    return {
        "id": str(deploy.pk),
        "environment": deploy.environment,
        "name": deploy.name or None,
        "url": deploy.url or None,
        "dateStarted": deploy.started_at,
        "dateFinished": deploy.finished_at,
    }
