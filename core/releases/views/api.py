"""Handle `POST /api/v1/deploys/`, which apps and their CI call to report deploys."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, read_json
from core.releases.models import Deploy, Release
from core.releases.services import record_deploy

Version = Annotated[
    str, msgspec.Meta(min_length=1, max_length=Release.MAX_VERSION_LENGTH, pattern=r"^\S(.*\S)?$")
]
_MAX_AHEAD_SECONDS = 300


class NewDeploy(msgspec.Struct, forbid_unknown_fields=True):
    """A reported deploy. `finished_at` defaults to now. If it is set, a repeated report counts as the same deploy."""

    release: Version
    environment: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "production"
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    url: Annotated[str, msgspec.Meta(max_length=500)] = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class DeployRecorded(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    release: str
    environment: str
    finished_at: datetime


@api(Scope.RELEASES, "POST")
def deploys(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Respond with 201 and the deploy, or with 200 if it was recorded before."""
    given = read_json(request, NewDeploy)
    now = timezone.now()
    started_at, finished_at = _aware(given.started_at), _aware(given.finished_at)
    if finished_at and (finished_at - now).total_seconds() > _MAX_AHEAD_SECONDS:
        raise BadRequest("`finished_at` is in the future", 422)
    if started_at and started_at > (finished_at or now):
        raise BadRequest("`started_at` is after `finished_at`", 422)
    deploy, is_new = record_deploy(
        app=app,
        version=given.release,
        environment=given.environment,
        source=Deploy.Source.API,
        now=now,
        name=given.name,
        url=given.url,
        started_at=started_at,
        finished_at=finished_at,
    )
    answer = DeployRecorded(deploy.pk, given.release, deploy.environment, deploy.finished_at)
    return json_response(answer, status=201 if is_new else 200)


def _aware(timestamp: datetime | None) -> datetime | None:
    """Return the timestamp, with the zone UTC if it has none. None stays None."""
    if timestamp is None or timestamp.tzinfo:
        return timestamp
    return timestamp.replace(tzinfo=UTC)
