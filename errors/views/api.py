"""Let scripts and tools read errors: `/api/v1/error-groups/` and related URLs.

A key gives access only to the errors of its own app.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response
from core.lib.keyset import keyset_page, newest_page
from core.lib.openapi import NDJSON
from core.releases.models import Release
from errors.event import json_codec
from errors.models import ErrorEvent, ErrorGroup, EventPayload, Severity
from errors.queries import counts, events, pages, releases
from errors.queries.search import BY_RISK, SORTS
from errors.store import payloads
from errors.views.api_parameters import (
    find_groups,
    get_event,
    get_group,
    limit,
    parameter,
    timestamp,
)
from errors.views.api_shapes import (
    Counts,
    Event,
    EventDetail,
    EventPage,
    Group,
    GroupCounts,
    GroupDetail,
    GroupPage,
    GroupSlot,
    Note,
    ReleasePage,
    ReleaseShown,
    Slot,
    TagCount,
)

EXPORT_CHUNK = 200
MAX_COUNT_SPAN = timedelta(days=400)


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def group_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    sort = request.GET.get("sort", "")
    if sort not in SORTS or sort == BY_RISK:
        raise BadRequest(
            "`sort` must be `events` or `users`, or empty to sort by the last event", 422
        )
    page = keyset_page(
        find_groups(request, app).select_related("assigned_to"),
        field=SORTS[sort],
        cursor=parameter(request, "cursor"),
        size=limit(request),
    )
    return json_response(GroupPage([Group.of(group) for group in page.rows], page.next_cursor))


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def group_detail(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    group = get_group(app, group_id)
    return json_response(
        GroupDetail(
            **msgspec.structs.asdict(Group.of(group)),
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


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def event_search(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """List the app's events, newest first. If the request has a search, list only events of the groups found."""
    since, until = timestamp(request, "since"), timestamp(request, "until")
    if since and until and since >= until:
        raise BadRequest("`since` must be before `until`", 422)
    page = events.event_page(
        find_groups(request, app, state="all"),
        since=since,
        until=until,
        cursor=parameter(request, "cursor"),
        size=limit(request),
    )
    return json_response(EventPage([Event.of(event) for event in page.rows], page.next_cursor))


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def event_list(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    page = newest_page(
        pages.latest_events(get_group(app, group_id)),
        cursor=parameter(request, "cursor"),
        size=limit(request),
    )
    return json_response(EventPage([Event.of(event) for event in page.rows], page.next_cursor))


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def group_counts(request: HttpRequest, app: ClientApp, group_id: int) -> HttpResponse:
    span = parameter(request, "span") or "24h"
    if span not in pages.RANGES:
        raise BadRequest(f"`span` must be one of {', '.join(pages.RANGES)}", 422)
    chart = pages.group_chart(get_group(app, group_id), span, timezone.now())
    found = zip(chart.times, chart.series[0].values, strict=True)
    return json_response(GroupCounts([GroupSlot(at, int(count or 0)) for at, count in found]))


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def event_detail(request: HttpRequest, app: ClientApp, event_id: uuid.UUID) -> HttpResponse:
    event = get_event(app, event_id)
    try:
        payload: dict[str, Any] | None = payloads.payload_of(event)
    except EventPayload.DoesNotExist:
        payload = None
    return json_response(EventDetail(**msgspec.structs.asdict(Event.of(event)), payload=payload))


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def count_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Return the number of received errors over time, from roll-ups."""
    now = timezone.now()
    since = timestamp(request, "since") or now - timedelta(hours=24)
    until = timestamp(request, "until") or now
    if not timedelta(0) < until - since <= MAX_COUNT_SPAN:
        raise BadRequest("`since` must be before `until`, and at most 400 days earlier", 422)
    step = counts.step_for(until - since)
    found = counts.slots(since, until, step, app=app)
    slots = [
        Slot(at, {severity.value: found[severity][at] for severity in Severity})
        for at in found[Severity.HIGH]
    ]
    return json_response(Counts(int(step.total_seconds()), slots))


@api(Scope.ERRORS_READ, "GET", permission="releases.view_release")
def release_list(request: HttpRequest, app: ClientApp) -> HttpResponse:
    page = keyset_page(
        Release.objects.filter(app=app).select_related("app"),
        field="created_at",
        cursor=parameter(request, "cursor"),
        size=limit(request),
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


@api(Scope.ERRORS_READ, "GET", permission="errors.view_errorgroup")
def event_export(request: HttpRequest, app: ClientApp) -> StreamingHttpResponse:
    """Stream the events of the matching groups as NDJSON, group by group and newest first."""
    since, until = timestamp(request, "since"), timestamp(request, "until")
    groups = list(find_groups(request, app).order_by("pk").values_list("pk", flat=True))
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
                shown = msgspec.structs.asdict(Event.of(row))
                yield json_codec.encode({**shown, "payload": found.get(row.pk)}) + b"\n"
            if len(rows) < EXPORT_CHUNK:
                break
            last = rows[-1].pk
