"""Let scripts and tools change and delete errors: `/api/v1/error-groups/act/` and the URLs of deletions.

A key gives access only to the errors of its own app. The audit log records every change.
"""

import uuid
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.accounts.queries import sees
from core.accounts.services import audit
from core.clients.api import api
from core.clients.auth import NotAllowed, describe_caller, person_of
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, read_json
from errors.exceptions import CannotMerge
from errors.models import ErrorGroup
from errors.services import deletion, merging, triage
from errors.views.api_parameters import get_event
from errors.views.api_shapes import Changed, Deleted, GroupAction, UserOfEvents

VIEW, DELETE = "errors.view_errorgroup", "errors.delete_errorgroup"


@api(Scope.ERRORS_WRITE, "POST", permission="errors.change_errorgroup")
def group_act(request: HttpRequest, app: ClientApp) -> HttpResponse:
    given = read_json(request, GroupAction)
    person = person_of(request)
    if given.action == "delete" and person and not person.has_perm(DELETE):
        raise NotAllowed("your account lacks the permission to delete errors")
    wanted = sorted(set(given.groups))
    groups = ErrorGroup.objects.visible().for_app(app).filter(pk__in=wanted)
    if given.action == "unmerge":
        groups = ErrorGroup.objects.for_app(app).filter(pk__in=wanted, merged_into__isnull=False)
    known = set(groups.values_list("pk", flat=True))
    if unknown := [str(pk) for pk in wanted if pk not in known]:
        raise BadRequest(f"the app has no such error: {', '.join(unknown)}", 404)
    answer = _act(given, groups, app, person, timezone.now())
    target = f"groups {', '.join(str(pk) for pk in wanted)}"
    _record(request, app, f"errors.errorgroup {given.action}", target)
    return json_response(answer)


def _act(
    given: GroupAction,
    groups: QuerySet[ErrorGroup],
    app: ClientApp,
    person: User | None,
    now: datetime,
) -> Changed:
    match given.action:
        case "resolve":
            count = triage.resolve_groups(
                groups, user=person, now=now, release=given.release.strip()
            )
        case "reopen":
            count = triage.reopen_groups(groups, user=person, now=now)
        case "mute":
            count = triage.mute_groups(
                groups,
                user=person,
                now=now,
                until=now + timedelta(hours=given.hours) if given.hours else None,
                events=given.events,
                users=given.users,
            )
        case "assign":
            to = _person(given.to, app) if given.to else None
            count = triage.assign_groups(groups, user=person, now=now, to=to)
        case "merge":
            try:
                kept = merging.merge_groups(list(groups), user=person, now=now)
            except CannotMerge as refusal:
                raise BadRequest(str(refusal), 422) from refusal
            return Changed(len(set(given.groups)), kept.pk)
        case "unmerge":
            count = len([merging.unmerge_group(one, user=person, now=now) for one in groups])
        case "comment":
            text = given.text.strip()
            if not text:
                raise BadRequest("`text` is empty", 422)
            added = [triage.add_comment(one, user=person, now=now, text=text) for one in groups]
            count = len(added)
        case "delete":
            count = deletion.delete_groups(list(groups), now=now)
    return Changed(count)


@api(Scope.ERRORS_WRITE, "POST", permission=DELETE)
def event_delete(request: HttpRequest, app: ClientApp, event_id: uuid.UUID) -> HttpResponse:
    deletion.delete_event(get_event(app, event_id))
    _record(request, app, "errors.errorevent deleted", f"event {event_id.hex}")
    return json_response(Deleted(event_id.hex))


@api(Scope.ERRORS_WRITE, "POST", permission=DELETE)
def user_delete(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Delete all events of a user. The audit log does not name the user."""
    given = read_json(request, UserOfEvents)
    _record(request, app, "errors.errorevent deleted", "all events of a user")
    deletion.delete_events_of_user(app=app, user_key=given.user, now=timezone.now())
    return json_response(Deleted("all events of the user"))


def _record(request: HttpRequest, app: ClientApp, action: str, target: str) -> None:
    caller = describe_caller(request, app)
    audit.record(person_of(request), action, target=target, detail=f"with {caller}")


def _person(name: str, app: ClientApp) -> User:
    person = User.objects.filter(username=name, is_staff=True, is_active=True).first()
    if person is None:
        raise BadRequest("`to` is not the user name of an active staff member", 422)
    if not sees(person, [app.pk], VIEW):
        raise BadRequest("the person in `to` is not allowed to see the errors of this app", 422)
    return person
