"""Show the list of groups, a group, and an event to staff who have the permission to view groups."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from core.accounts.queries import list_staff_who_see
from core.clients.queries import app_select
from core.lib import formats, time_ranges
from core.lib.app_access import limit
from core.lib.filter_bars import Select, filter_bar
from core.lib.http import json_response, url_with
from core.lib.keyset import KeysetPage, keyset_page, newest_page
from core.lib.search_terms import quote
from core.releases.queries import mark_deploys
from errors.extension_points import EventSection, ShownEvent, event_sections
from errors.models import ErrorEvent, ErrorGroup, EventPayload, Severity, Status
from errors.queries import pages, releases
from errors.queries.event_page import EventPage, describe
from errors.queries.onset import onset_of_group
from errors.queries.resolved import with_original_frames
from errors.queries.search import BY_RISK, FILTERS, KEYS, SORTS, STATES, find_groups
from errors.queries.search import complete as complete_search
from errors.store import payloads
from impact.queries.causes import find_causes
from impact.queries.figures import Amounts
from impact.queries.risk import order_by_risk

PAGE_SIZE = 50
EVENTS_ON_GROUP = 10
USERS_PER_PAGE = 100
SORT_LABELS = {"": "Last seen", "events": "Events", "users": "Users", BY_RISK: "At risk"}
VIEW = "errors.view_errorgroup"
may_view = permission_required(VIEW, raise_exception=True)


def _may_change(request: HttpRequest) -> bool:
    return request.user.has_perm("errors.change_errorgroup")


@require_GET
@may_view
def group_list(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    found = find_groups(request.GET, user=request.user, now=now)
    filters = found.filters
    groups = found.groups.select_related("app", "assigned_to")
    cursor = request.GET.get("after", "")
    if filters["sort"] == BY_RISK:
        page, at_risk = _page_by_risk(groups, cursor=cursor, now=now)
    else:
        field = SORTS[filters["sort"]]
        page = keyset_page(groups, field=field, cursor=cursor, size=PAGE_SIZE)
        at_risk = pages.groups_at_risk(now=now, groups=[group.pk for group in page.rows])
    sparklines = pages.sparklines(page.rows, now)
    context = {
        **admin.site.each_context(request),
        "title": "Errors",
        "rows": [
            {
                "group": group,
                "at_risk": sorted(at_risk.get(group.pk, {}).items()),
                "spark": sparklines[group.pk],
                "spark_label": f"{formats.quantity(sum(sparklines[group.pk]), 'events')} in the last 24 hours",
            }
            for group in page.rows
        ],
        "may_change": _may_change(request),
        "has_filters": any(filters[key] for key in (*FILTERS, "state")),
        "problem": "; ".join(found.problems).capitalize(),
        "states": [
            {
                "label": label,
                "url": url_with("errors:group-list", {**filters, "state": key}),
                "is_current": filters["state"] == key,
            }
            for key, label in STATES.items()
        ],
        "sorts": [
            {
                "label": SORT_LABELS[key],
                "url": url_with("errors:group-list", {**filters, "sort": key}),
                "is_current": filters["sort"] == key,
                "is_number": key != "",
            }
            for key in SORTS
        ],
        "is_first_page": not cursor,
        "match_count": found.groups.count() if page.next_cursor or cursor else 0,
        "newest": found.groups.aggregate(newest=Max("pk"))["newest"] or "",
        "query": urlencode({key: value for key, value in filters.items() if value}),
        "here": request.get_full_path(),
        "first_url": url_with("errors:group-list", filters) if cursor else "",
        "next_url": page.next_cursor
        and url_with("errors:group-list", {**filters, "after": page.next_cursor}),
        "all_url": url_with("errors:group-list", {"state": "all"}),
        "apps_url": reverse("admin:clients_clientapp_changelist"),
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "errors/_group_table.html", context)
    selects = [app_select(), Select("severity", "Severity", Severity.choices)]
    if environments := pages.environments():
        selects.append(Select("env", "Environment", [(one, one) for one in environments]))
    context["bar"] = filter_bar(
        filters,
        placeholder="Text, or app:shop release:1.4 order_id:1042",
        selects=selects,
        hidden=("state", "sort"),
        clear_url=reverse("errors:group-list"),
        is_used=bool(context["has_filters"]),
        complete_url=reverse("errors:group-complete"),
        help_text=f"Words match titles, culprits, types and functions. Filter with {', '.join(KEYS)} or the name of "
        "a tag, followed by a colon and a value.",
    )
    return render(request, "errors/group_list.html", context)


def _page_by_risk(
    groups: QuerySet[ErrorGroup], *, cursor: str, now: datetime
) -> tuple[KeysetPage[ErrorGroup], dict[int, Amounts]]:
    """Return a page of groups, ordered by the money at risk, and the amounts at risk by group.

    The cursor is the number of groups on previous pages.
    """
    at_risk = pages.groups_at_risk(now=now)
    ordered = order_by_risk(at_risk)
    kept = set(groups.filter(pk__in=ordered).values_list("pk", flat=True))
    ids = [pk for pk in ordered if pk in kept]
    start = int(cursor) if cursor.isdecimal() and len(cursor) < 10 else 0
    shown = ids[start : start + PAGE_SIZE]
    by_id = groups.in_bulk(shown)
    following = str(start + PAGE_SIZE) if len(ids) > start + PAGE_SIZE else ""
    return KeysetPage([by_id[pk] for pk in shown if pk in by_id], following), at_risk


@require_GET
@may_view
def complete(request: HttpRequest) -> HttpResponse:
    """Suggest completions of the search line. The parameter `q` is the text before the cursor."""
    return json_response(complete_search(request.GET.get("q", "")))


def _action_context(request: HttpRequest, group: ErrorGroup) -> dict[str, object]:
    may_change = _may_change(request)
    return {
        "may_change": may_change,
        "act_url": reverse("errors:group-act", args=[group.pk]),
        "staff": list_staff_who_see([group.app_id], VIEW) if may_change else [],
        "mute_ends": _mute_ends(group),
    }


def _mute_ends(group: ErrorGroup) -> str:
    if group.status != Status.MUTED:
        return ""
    ends = [
        group.muted_until and f"until {formats.stamp(group.muted_until)}",
        group.muted_until_events and f"until {group.muted_until_events:,} events in total",
        group.muted_until_users and f"until {group.muted_until_users:,} users in total",
    ]
    return " or ".join(end for end in ends if end) or "until reopened"


@require_GET
@may_view
def group_detail(request: HttpRequest, group_id: int) -> HttpResponse:
    now = timezone.now()
    group = get_object_or_404(
        limit(ErrorGroup.objects.select_related("app", "assigned_to")), pk=group_id
    )
    if group.merged_into_id:
        return redirect("errors:group-detail", group.merged_into_id)
    newest = time_ranges.shortest_with(group.last_seen_at, now=now, keys=pages.RANGES)
    span = time_ranges.choose(request.GET.get(time_ranges.PARAMETER, ""), newest, pages.RANGES)
    events = list(pages.latest_events(group)[: EVENTS_ON_GROUP + 1])
    for event in events:
        if event.group_id == group.pk:
            event.group = group  # This saves the template a query for the group.
    return render(
        request,
        "errors/group_detail.html",
        {
            **admin.site.each_context(request),
            **_action_context(request, group),
            "title": group.title,
            "group": group,
            "chart": mark_deploys(pages.group_chart(group, span.key, now), app=group.app),
            "ranges": time_ranges.buttons(span, pages.RANGES),
            "event": events[0] if events else None,
            **(_story(request, events[0]) if events else {}),
            "events": events[:EVENTS_ON_GROUP],
            "show_messages": any(event.message != group.title for event in events),
            "merged": pages.merged_into(group),
            "more_events_url": reverse("errors:event-list", args=[group.pk])
            if len(events) > EVENTS_ON_GROUP
            else "",
            "tags": pages.tag_breakdown(group),
            "users": [_user_row(key) for key in pages.affected_users(group)],
            "impact": pages.group_impact(group, now=now),
            "causes": find_causes(onset_of_group(group)),
            "notes": pages.history(group),
        },
    )


def _user_row(key: str) -> dict[str, str]:
    return {"key": key, "url": _search_url(f"user:{quote(key)}")}


@require_GET
@may_view
def tag_list(request: HttpRequest, group_id: int) -> HttpResponse:
    """Show the counted tags of the group with their values, at most MAX_TAG_ROWS."""
    group = get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    context = {
        **admin.site.each_context(request),
        "title": "Tags",
        "lead": group.title,
        "group": group,
        "tags": [
            (key, [(one, _search_url(f"{key}:{quote(one.value)}")) for one in values])
            for key, values in pages.every_tag(group)
        ],
    }
    return render(request, "errors/tag_list.html", context)


@require_GET
@may_view
def user_list(request: HttpRequest, group_id: int) -> HttpResponse:
    """Show a page of the group's affected users, ordered by key."""
    group = get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    after = request.GET.get("after", "").replace("\0", "")
    keys = pages.affected_users(group, limit=USERS_PER_PAGE + 1, after=after)
    here = reverse("errors:group-users", args=[group.pk])
    following = keys[USERS_PER_PAGE - 1] if len(keys) > USERS_PER_PAGE else ""
    context = {
        **admin.site.each_context(request),
        "title": "Affected users",
        "lead": group.title,
        "group": group,
        "users": [_user_row(key) for key in keys[:USERS_PER_PAGE]],
        "delete_url": reverse("errors:user-delete", args=[group.pk]),
        "delete_confirm": "Delete all events of this user in this app? This cannot be undone.",
        "first_url": here if after else "",
        "next_url": f"{here}?{urlencode({'after': following})}" if following else "",
    }
    return render(request, "errors/user_list.html", context)


@require_GET
@may_view
def event_list(request: HttpRequest, group_id: int) -> HttpResponse:
    group = get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    cursor = request.GET.get("before", "")
    page = newest_page(pages.latest_events(group), cursor=cursor, size=PAGE_SIZE)
    here = reverse("errors:event-list", args=[group.pk])
    return render(
        request,
        "errors/event_list.html",
        {
            **admin.site.each_context(request),
            "title": "Events",
            "lead": group.title,
            "group": group,
            "events": page.rows,
            "show_messages": any(event.message != group.title for event in page.rows),
            "first_url": here if cursor else "",
            "next_url": f"{here}?before={page.next_cursor}" if page.next_cursor else "",
        },
    )


def _get_event(group_id: int, event_id: int) -> tuple[ErrorGroup, ErrorEvent]:
    """Return a group, and an event of it or of a group merged into it. Raises Http404 if either does not exist."""
    group = get_object_or_404(limit(ErrorGroup.objects.select_related("app")), pk=group_id)
    events = ErrorEvent.objects.select_related("group__merged_into")
    return group, get_object_or_404(events, pk=event_id, group__in=group.family)


@require_GET
@may_view
def event_detail(request: HttpRequest, group_id: int, event_id: int) -> HttpResponse:
    group, event = _get_event(group_id, event_id)
    story = _story(request, event)
    return render(
        request,
        "errors/event_detail.html",
        {
            **admin.site.each_context(request),
            "title": f"Event {event.event_id.hex[:8]}",
            "group": group,
            "event": event,
            **story,
            "around": pages.neighbors(event),
            "impact": pages.event_impact(event, now=timezone.now()),
            "reports": pages.reports_on(event),
            "facts": _facts(event),
            "sections": _sections(request, event, story),
            "tags": [
                (name, value, _search_url(f"{name}:{quote(value)}"))
                for name, value in getattr(story["story"], "tags", ())
            ],
        },
    )


@require_GET
@may_view
def event_latest(request: HttpRequest, group_id: int) -> HttpResponse:
    """Redirect to the newest event of the group. This URL is a permanent link."""
    event = pages.latest_events(
        get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    ).first()
    if event is None:
        raise Http404("all events of this group have been deleted")
    return redirect("errors:event-detail", group_id, event.pk)


def _search_url(query: str) -> str:
    return url_with("errors:group-list", {"q": query, "state": "all"})


def _story(request: HttpRequest, event: ErrorEvent) -> dict[str, object]:
    """Return the context of the template `_event_story.html`.

    If the request has `?frames=minified`, the context contains the frames as the client sent them. If the payload has
    been deleted, `story` is None.
    """
    try:
        payload, source_maps = with_original_frames(
            event, payloads.payload_of(event), minified=request.GET.get("frames") == "minified"
        )
        story: EventPage | None = describe(payload)
    except (EventPayload.DoesNotExist, ValueError):
        return {"story": None}
    return {
        "story": story,
        "payload": payload,
        "source_maps": source_maps,
        "suspects": releases.suspect_commits(event.group, payload),
    }


def _sections(
    request: HttpRequest, event: ErrorEvent, story: Mapping[str, Any]
) -> list[EventSection]:
    """Return the sections that apps add to the event's page through the hook `event_sections`."""
    shown = ShownEvent(event, story.get("payload", {}), request.user)
    return [section for function in event_sections if (section := function(shown))]


def _facts(event: ErrorEvent) -> list[tuple[str, str, str]]:
    """Return the labels and values of the event's columns, each with a URL that searches for the value."""
    named = [
        ("Environment", event.environment, "env"),
        ("Release", event.release, "release"),
        ("Category", event.category, "category"),
        ("Function", event.function, "function"),
        ("Request", event.request_id, "request"),
        ("User", event.user_key, "user"),
        ("Organization", event.organization, "org"),
        ("Order", event.order_ref, "order"),
        ("Payment", event.payment_ref, "payment"),
        ("Reservation", event.reservation_ref, "reservation"),
    ]
    return [
        (name, value, url_with("errors:group-list", {"q": f'{key}:"{value}"', "state": "all"}))
        for name, value, key in named
        if value
    ]


@require_GET
@may_view
def event_raw(request: HttpRequest, group_id: int, event_id: int) -> HttpResponse:
    """Download the stored event. The response is a JSON attachment, so it cannot run as a page of this origin."""
    _, event = _get_event(group_id, event_id)
    try:
        body = payloads.json_of(event)
    except EventPayload.DoesNotExist:
        raise Http404("the payload has been deleted") from None
    return HttpResponse(
        body,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="event-{event.event_id.hex}.json"'},
    )
