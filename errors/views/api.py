"""`/api/v1/error-groups/` and its neighbors: errors for scripts and tools.

A key reaches the errors of its own app only.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone

from core.accounts.services import audit
from core.clients.api import api
from core.clients.auth import key_of
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, read_json
from core.lib.keyset import keyset_page
from core.lib.openapi import NDJSON
from core.releases.models import Release
from errors.event import json_codec
from errors.exceptions import CannotMerge
from errors.models import ErrorEvent, ErrorGroup, EventPayload, Severity
from errors.queries import counts, pages, releases
from errors.queries.search import BY_RISK, SORTS, STATES, search
from errors.services import deletion, merging, triage
from errors.store import payloads

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
MAX_GROUPS_AT_ONCE = 100
EXPORT_CHUNK = 200
MAX_COUNT_SPAN = timedelta(days=400)
_PREFIX_LENGTH = 10  # of a key, as the app's page shows it


# --- what is returned ------------------------------------------------------------------------------------
class Group(msgspec.Struct, forbid_unknown_fields=True):
    """An error: the events with the same cause."""

    id: int
    title: str
    type: str
    culprit: str
    platform: str
    status: str
    severity: str
    first_seen_at: datetime
    last_seen_at: datetime
    event_count: int
    user_count: int
    first_release: str
    last_release: str
    resolved_in_release: str
    assigned_to: str | None
    url: str

    @classmethod
    def of(cls, group: ErrorGroup) -> "Group":
        return cls(
            id=group.pk,
            title=group.title,
            type=group.type,
            culprit=group.culprit,
            platform=group.platform,
            status=group.status,
            severity=group.severity,
            first_seen_at=group.first_seen_at,
            last_seen_at=group.last_seen_at,
            event_count=group.event_count,
            user_count=group.user_count,
            first_release=group.first_release,
            last_release=group.last_release,
            resolved_in_release=group.resolved_in_release,
            assigned_to=group.assigned_to.get_username() if group.assigned_to else None,
            url=settings.BASE_URL + reverse("errors:group-detail", args=[group.pk]),
        )


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of an error's history. `by` is None for changes by events and by API keys."""

    kind: str
    at: datetime
    by: str | None
    text: str


class TagCount(msgspec.Struct, forbid_unknown_fields=True):
    value: str
    count: int


class GroupDetail(Group, forbid_unknown_fields=True):
    """An error with its history, newest first, its most frequent tags, and the errors merged into it."""

    notes: list[Note]
    tags: dict[str, list[TagCount]]
    merged: list[int]


class GroupPage(msgspec.Struct, forbid_unknown_fields=True):
    """`next_cursor` is the cursor of the next page, or "" on the last one."""

    groups: list[Group]
    next_cursor: str


class Event(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str
    group: int
    received_at: datetime
    occurred_at: datetime
    message: str
    severity: str
    environment: str
    release: str
    user: str
    request_id: str

    @classmethod
    def of(cls, event: ErrorEvent) -> "Event":
        return cls(
            event_id=event.event_id.hex,
            group=event.group_id,
            received_at=event.received_at,
            occurred_at=event.occurred_at,
            message=event.message,
            severity=event.severity,
            environment=event.environment,
            release=event.release,
            user=event.user_key,
            request_id=event.request_id,
        )


class EventPage(msgspec.Struct, forbid_unknown_fields=True):
    """`next_cursor` is the cursor of the next page, or "" on the last one."""

    events: list[Event]
    next_cursor: str


class EventDetail(Event, forbid_unknown_fields=True):
    """An event with its payload as it was stored; None if the payload has been deleted."""

    payload: dict[str, Any] | None


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    """The number of errors by severity from `at` for `step_seconds`."""

    at: datetime
    counts: dict[str, int]


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    step_seconds: int
    slots: list[Slot]


class GroupSlot(msgspec.Struct, forbid_unknown_fields=True):
    at: datetime
    count: int


class GroupCounts(msgspec.Struct, forbid_unknown_fields=True):
    slots: list[GroupSlot]


class ReleaseShown(msgspec.Struct, forbid_unknown_fields=True):
    """A release. The shares of crash-free sessions and users are percentages, or None without sessions."""

    version: str
    created_at: datetime
    event_count: int
    affected_user_count: int
    new_group_count: int
    regressed_group_count: int
    crash_free_sessions: float | None
    crash_free_users: float | None
    environments: list[str]


class ReleasePage(msgspec.Struct, forbid_unknown_fields=True):
    releases: list[ReleaseShown]
    next_cursor: str


class Changed(msgspec.Struct, forbid_unknown_fields=True):
    """The number of errors that the action changed, and the id of the error that a merge kept."""

    changed: int
    kept: int | None = None


class Deleted(msgspec.Struct, forbid_unknown_fields=True):
    """The target of the deletion, as text. The deletion of many events may continue for some minutes."""

    deleted: str


# --- what is sent ----------------------------------------------------------------------------------------
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class GroupAction(msgspec.Struct, forbid_unknown_fields=True):
    """An action on errors. `release` is for resolve; `hours`, `events` and `users` for mute; `to` for assign.

    Without `to`, errors are unassigned. A mute ends with the first of its conditions; without any, when it is reopened.
    """

    action: Literal["resolve", "reopen", "mute", "assign", "merge", "unmerge", "comment", "delete"]
    groups: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_GROUPS_AT_ONCE)]
    release: Annotated[str, msgspec.Meta(max_length=200)] = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 365)] | None = None
    events: Count | None = None
    users: Count | None = None
    to: Annotated[str, msgspec.Meta(max_length=150)] = ""
    text: Annotated[str, msgspec.Meta(max_length=5_000)] = ""


class UserOfEvents(msgspec.Struct, forbid_unknown_fields=True):
    """A user as the events show it: the id that the app sends, or the reference of an address."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


# --- reading ---------------------------------------------------------------------------------------------
@api(Scope.ERRORS_READ, "GET")
def group_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    sort = request.GET.get("sort", "")
    if sort not in SORTS or sort == BY_RISK:
        raise BadRequest("`sort` is events, users, or empty for the last seen", 422)
    page = keyset_page(
        _find(request, app).select_related("assigned_to"),
        field=SORTS[sort],
        cursor=_parameter(request, "cursor"),
        size=_limit(request),
    )
    return json_response(GroupPage([Group.of(group) for group in page.rows], page.next_cursor))


@api(Scope.ERRORS_READ, "GET")
def group_detail(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    group = _group(app, group_id)
    shown = Group.of(group)
    return json_response(
        GroupDetail(
            **{name: getattr(shown, name) for name in shown.__struct_fields__},
            notes=[
                Note(
                    kind=note.kind,
                    at=note.at,
                    by=note.by.get_username() if note.by else None,
                    text=note.text,
                )
                for note in pages.history(group)
            ],
            tags={
                key: [TagCount(one.value, one.count) for one in values]
                for key, values in pages.tag_breakdown(group)
            },
            merged=[merged.pk for merged in pages.merged_into(group)],
        )
    )


@api(Scope.ERRORS_READ, "GET")
def event_list(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    events = pages.latest_events(_group(app, group_id))
    cursor, limit = _parameter(request, "cursor"), _limit(request)
    if cursor.isdecimal() and cursor.isascii() and len(cursor) < 20:
        events = events.filter(pk__lt=min(int(cursor), 2**63 - 1))
    rows = list(events[: limit + 1])
    following = str(rows[limit - 1].pk) if len(rows) > limit else ""
    return json_response(EventPage([Event.of(event) for event in rows[:limit]], following))


@api(Scope.ERRORS_READ, "GET")
def group_counts(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    span = _parameter(request, "span") or "24h"
    if span not in pages.RANGES:
        raise BadRequest(f"`span` is one of {', '.join(pages.RANGES)}", 422)
    chart = pages.group_chart(_group(app, group_id), span, timezone.now())
    found = zip(chart.times, chart.series[0].values, strict=True)
    return json_response(GroupCounts([GroupSlot(at, int(count or 0)) for at, count in found]))


@api(Scope.ERRORS_READ, "GET")
def event_detail(request: HttpRequest, app: ClientApp, event_id: uuid.UUID) -> HttpResponse:
    event = _event(app, event_id)
    try:
        payload: dict[str, Any] | None = payloads.payload_of(event)
    except EventPayload.DoesNotExist:
        payload = None
    shown = Event.of(event)
    members = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return json_response(EventDetail(**members, payload=payload))


@api(Scope.ERRORS_READ, "GET")
def count_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Return the number of received errors over time, from roll-ups."""
    now = timezone.now()
    since = _timestamp(request, "since") or now - timedelta(hours=24)
    until = _timestamp(request, "until") or now
    if not timedelta(0) < until - since <= MAX_COUNT_SPAN:
        raise BadRequest("`since` must be before `until`, by at most 400 days", 422)
    step = counts.step_for(until - since)
    found = counts.slots(since, until, step, app=app)
    slots = [
        Slot(at, {severity.value: found[severity][at] for severity in Severity})
        for at in found[Severity.HIGH]
    ]
    return json_response(Counts(int(step.total_seconds()), slots))


@api(Scope.ERRORS_READ, "GET")
def release_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    page = keyset_page(
        Release.objects.filter(app=app).select_related("app"),
        field="created_at",
        cursor=_parameter(request, "cursor"),
        size=_limit(request),
    )
    rows = releases.describe_releases(page.rows)
    shown = [
        ReleaseShown(
            version=row.release.version,
            created_at=row.release.created_at,
            event_count=row.counts.event_count,
            affected_user_count=row.affected_user_count,
            new_group_count=row.new_group_count,
            regressed_group_count=row.regressed_group_count,
            crash_free_sessions=row.health.crash_free_sessions,
            crash_free_users=row.health.crash_free_users,
            environments=row.environments,
        )
        for row in rows
    ]
    return json_response(ReleasePage(shown, page.next_cursor))


@api(Scope.ERRORS_READ, "GET")
def event_export(request: HttpRequest, app: ClientApp) -> StreamingHttpResponse:
    """Stream the events of the matching groups as NDJSON: group by group, newest first."""
    since, until = _timestamp(request, "since"), _timestamp(request, "until")
    groups = list(_find(request, app).order_by("pk").values_list("pk", flat=True))
    return StreamingHttpResponse(
        _lines(groups, since, until),
        content_type=NDJSON,
        headers={"Content-Disposition": f'attachment; filename="errors-of-{app.slug}.ndjson"'},
    )


def _lines(groups: list[int], since: datetime | None, until: datetime | None) -> Iterator[bytes]:
    for group_id in groups:
        group = ErrorGroup.objects.filter(pk=group_id).first()
        events = pages.latest_events(group) if group else ErrorEvent.objects.none()
        if since or until:
            events = events.received_between(  # type: ignore[attr-defined]
                since or datetime.fromtimestamp(0, tz=timezone.get_current_timezone()),
                until or timezone.now() + timedelta(days=1),
            )
        last: int | None = None
        while True:
            later = events if last is None else events.filter(pk__lt=last)
            rows = list(later[:EXPORT_CHUNK])
            found = dict(payloads.all_payloads([row.pk for row in rows]))
            for row in rows:
                shown = Event.of(row)
                members = {name: getattr(shown, name) for name in shown.__struct_fields__}
                yield json_codec.encode({**members, "payload": found.get(row.pk)}) + b"\n"
            if len(rows) < EXPORT_CHUNK:
                break
            last = rows[-1].pk


# --- changing --------------------------------------------------------------------------------------------
@api(Scope.ERRORS_WRITE, "POST")
def group_act(request: HttpRequest, app: ClientApp) -> HttpResponse:
    given = read_json(request, GroupAction)
    wanted = sorted(set(given.groups))
    groups = ErrorGroup.objects.visible().for_app(app).filter(pk__in=wanted)
    if given.action == "unmerge":
        groups = ErrorGroup.objects.for_app(app).filter(pk__in=wanted, merged_into__isnull=False)
    known = set(groups.values_list("pk", flat=True))
    if unknown := [str(pk) for pk in wanted if pk not in known]:
        raise BadRequest(f"no such error: {', '.join(unknown)}", 404)
    answer = _act(given, groups, app, timezone.now())
    target = f"groups {', '.join(str(pk) for pk in wanted)}"
    _record(request, app, f"errors.errorgroup {given.action}", target)
    return json_response(answer)


def _act(
    given: GroupAction, groups: QuerySet[ErrorGroup], app: ClientApp, now: datetime
) -> Changed:
    match given.action:
        case "resolve":
            count = triage.resolve_groups(groups, user=None, now=now, release=given.release.strip())
        case "reopen":
            count = triage.reopen_groups(groups, user=None, now=now)
        case "mute":
            count = triage.mute_groups(
                groups,
                user=None,
                now=now,
                until=now + timedelta(hours=given.hours) if given.hours else None,
                events=given.events,
                users=given.users,
            )
        case "assign":
            to = _person(given.to) if given.to else None
            count = triage.assign_groups(groups, user=None, now=now, to=to)
        case "merge":
            try:
                kept = merging.merge_groups(list(groups), user=None, now=now)
            except CannotMerge as refusal:
                raise BadRequest(str(refusal), 422) from refusal
            return Changed(len(set(given.groups)), kept.pk)
        case "unmerge":
            count = len([merging.unmerge_group(one, user=None, now=now) for one in groups])
        case "comment":
            text = given.text.strip()
            if not text:
                raise BadRequest("`text` is empty", 422)
            added = [triage.add_comment(one, user=None, now=now, text=text) for one in groups]
            count = len(added)
        case "delete":
            count = deletion.delete_groups(list(groups), now=now)
    return Changed(count)


@api(Scope.ERRORS_WRITE, "POST")
def event_delete(request: HttpRequest, app: ClientApp, event_id: uuid.UUID) -> HttpResponse:
    deletion.delete_event(_event(app, event_id))
    _record(request, app, "errors.errorevent deleted", f"event {event_id.hex}")
    return json_response(Deleted(event_id.hex))


@api(Scope.ERRORS_WRITE, "POST")
def user_delete(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Delete all events of a user. The audit log does not name the user."""
    given = read_json(request, UserOfEvents)
    _record(request, app, "errors.errorevent deleted", "all events of a user")
    deletion.delete_events_of_user(app=app, user_key=given.user, now=timezone.now())
    return json_response(Deleted("all events of the user"))


def _record(request: HttpRequest, app: ClientApp, action: str, target: str) -> None:
    key = key_of(request)[:_PREFIX_LENGTH]
    audit.record(None, action, target=target, detail=f"with the API key {key}… of {app.slug}")


# --- parameters ------------------------------------------------------------------------------------------
def _parameter(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\0", "")[:2_000]


def _limit(request: HttpRequest) -> int:
    given = _parameter(request, "limit")
    if not given:
        return DEFAULT_LIMIT
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MAX_LIMIT):
        raise BadRequest(f"`limit` is a number from 1 to {MAX_LIMIT}", 422)
    return int(given)


def _timestamp(request: HttpRequest, name: str) -> datetime | None:
    given = _parameter(request, name)
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given.replace(" ", "+"))
        found = found if found.tzinfo else found.replace(tzinfo=timezone.get_current_timezone())
        found.timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"`{name}` is no timestamp such as 2026-11-22T14:00:00Z", 422) from None
    if not 1970 < found.year < 2200:
        raise BadRequest(f"`{name}` is out of range", 422)
    return found


def _find(request: HttpRequest, app: ClientApp) -> QuerySet[ErrorGroup]:
    """Return the app's groups that match `query`, in the language of the page, and `state`."""
    state = _parameter(request, "state")
    if state not in STATES:
        raise BadRequest(f"`state` is one of {', '.join(key for key in STATES if key)}", 422)
    found = search(
        _parameter(request, "query"),
        groups=ErrorGroup.objects.visible().for_app(app),
        user=AnonymousUser(),
        now=timezone.now(),
        state=state or "unresolved",
    )
    if found.problems:
        raise BadRequest("; ".join(found.problems), 422)
    return found.groups


def _group(app: ClientApp, group_id: int) -> ErrorGroup:
    groups = ErrorGroup.objects.for_app(app).select_related("assigned_to")
    group = groups.filter(pk=group_id).first() if group_id < 2**63 else None
    if group is None:
        raise BadRequest("the app has no such error", 404)
    return group


def _event(app: ClientApp, event_id: uuid.UUID) -> ErrorEvent:
    event = ErrorEvent.objects.filter(app=app).with_event_id(event_id).first()
    if event is None:
        raise BadRequest("the app has no such event", 404)
    return event


def _person(name: str) -> User:
    person = User.objects.filter(Q(username=name), is_staff=True, is_active=True).first()
    if person is None:
        raise BadRequest("`to` is no active member of the staff", 422)
    return person
