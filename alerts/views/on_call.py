"""Show the on-call pages and the calendar feed, and answer `/api/v1/on-call/`."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from alerts import signed_links
from alerts.models import Person, Schedule, ScheduleOverride
from alerts.oncall.ical import CalendarEvent, write_calendar
from alerts.override_form import OverrideForm
from alerts.queries import on_call
from alerts.queries.on_call_calendar import build_calendar
from alerts.services import on_call as services
from core.clients.api import api
from core.clients.auth import NotAllowed, person_of
from core.clients.models import ClientApp, Scope
from core.lib.admin import log_change
from core.lib.http import BadRequest, json_response, problem, read_json

VIEW, CHANGE = "alerts.view_schedule", "alerts.add_scheduleoverride"
FEED_PAST, FEED_FUTURE = timedelta(days=14), timedelta(days=90)
MAX_PERIOD = timedelta(days=366)
DEFAULT_PERIOD = timedelta(days=14)
MAX_OVERRIDES_LISTED = 200

# --- pages -------------------------------------------------------------------------------------------------


@require_GET
@permission_required(VIEW, raise_exception=True)
def page(request: HttpRequest) -> HttpResponse:
    """Show the person on call in each schedule."""
    now = timezone.now()
    context = {
        **admin.site.each_context(request),
        "title": "On call",
        "lead": "The person on call in each schedule. Escalation steps of alert types notify this person.",
        "on_call": on_call.on_call_now(on_call.load_schedules(), now=now),
        "may_add": request.user.has_perm("alerts.add_schedule"),
    }
    return render(request, "alerts/on_call.html", context)


@require_GET
@permission_required(VIEW, raise_exception=True)
def schedule_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the coming weeks of a schedule, and the form for an override."""
    schedule = get_object_or_404(Schedule.objects.with_people(), pk=pk)
    initial = {
        name: request.GET[name]
        for name in ("starts_at", "ends_at", "instead_of")
        if request.GET.get(name)
    }
    with timezone.override(schedule.zone):
        for name in ("starts_at", "ends_at"):
            if name in initial:
                initial[name] = _parse_instant(initial[name])  # type: ignore[assignment]
        return _render_schedule(request, schedule, OverrideForm(schedule=schedule, initial=initial))


@require_POST
@permission_required(CHANGE, raise_exception=True)
def add_override(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = get_object_or_404(Schedule.objects.with_people(), pk=pk)
    assert isinstance(request.user, User)
    with timezone.override(schedule.zone):
        form = OverrideForm(request.POST, schedule=schedule)
        if not form.is_valid():
            return _render_schedule(request, schedule, form, status=422)
        form.instance.created_by = request.user
        override = form.save()
    log_change(request, schedule, f"Added the override {override}.")
    messages.success(request, f"{override.person} takes over.")
    return redirect("alerts:on-call-schedule", pk)


@require_POST
@permission_required("alerts.change_schedule", raise_exception=True)
def renew_feed(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = get_object_or_404(Schedule, pk=pk)
    services.renew_feed_address(schedule)
    log_change(request, schedule, "Replaced the address of the calendar.")
    messages.success(request, "The calendar has a new address. The earlier one no longer works.")
    return redirect("alerts:on-call-schedule", pk)


def _render_schedule(
    request: HttpRequest, schedule: Schedule, form: OverrideForm, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    (current,) = on_call.on_call_now([schedule], now=now)
    user = request.user
    context = {
        **admin.site.each_context(request),
        "title": str(schedule),
        "lead": schedule.description,
        "schedule": schedule,
        "current": current,
        "calendar": build_calendar(schedule, now=now),
        "rotations": sorted(schedule.rotations.all(), key=lambda one: (one.position, one.pk)),
        "overrides": [one for one in schedule.overrides.all() if one.ends_at > now],
        "form": form,
        "feed_url": signed_links.build_feed_url(schedule),
        "add_rotation_url": f"{reverse('admin:alerts_rotation_add')}?"
        + urlencode({"schedule": schedule.pk, "time_zone": schedule.time_zone}),
        "may_override": user.has_perm(CHANGE),
        "may_change": user.has_perm("alerts.change_schedule"),
    }
    return render(request, "alerts/on_call_schedule.html", context, status=status)


# --- calendar ----------------------------------------------------------------------------------------------


@require_safe
@never_cache
def feed(request: HttpRequest, token: str) -> HttpResponse:
    """Return the past and coming shifts as a calendar, of all people or of the person with the id in `person`."""
    schedule = signed_links.read_feed_token(token)
    if schedule is None:
        raise Http404
    now = timezone.now()
    person_id = request.GET.get("person", "")
    host = urlsplit(settings.BASE_URL).hostname or "localhost"
    events = [
        CalendarEvent(
            uid=f"{schedule.pk}-{int(shift.starts_at.timestamp())}-{shift.person.pk}@{host}",
            starts_at=shift.starts_at,
            ends_at=shift.ends_at,
            summary=f"{shift.person} is on call ({schedule})",
            description=shift.reason,
        )
        for shift in on_call.list_whole_shifts(schedule, now - FEED_PAST, now + FEED_FUTURE)
        if shift.person is not None and person_id in ("", str(shift.person.pk))
    ]
    text = write_calendar(f"On call: {schedule}", events, now=now)
    return HttpResponse(text, content_type="text/calendar; charset=utf-8")


# --- API ---------------------------------------------------------------------------------------------------


class OnCallPerson(msgspec.Struct):
    id: int
    name: str
    email: str


class OnCallEntry(msgspec.Struct):
    id: int  # The id of the schedule.
    schedule: str
    person: OnCallPerson | None  # Null if no one is on call.
    until: datetime | None  # Null if the shift ends later than 60 days after `at`.


class OnCallNow(msgspec.Struct):
    at: datetime
    on_call: list[OnCallEntry]


class ShiftOut(msgspec.Struct):
    starts_at: datetime
    ends_at: datetime
    person: OnCallPerson | None
    reason: str


class Shifts(msgspec.Struct):
    schedule: str
    shifts: list[ShiftOut]


class NewOverride(msgspec.Struct, forbid_unknown_fields=True):
    person: int
    starts_at: datetime
    ends_at: datetime
    instead_of: int | None = None
    comment: str = ""


class OverrideOut(msgspec.Struct):
    id: int
    person: OnCallPerson
    instead_of: OnCallPerson | None
    starts_at: datetime
    ends_at: datetime
    comment: str


class Overrides(msgspec.Struct):
    overrides: list[OverrideOut]


@api(Scope.ON_CALL, "GET", permission="alerts.view_schedule", needs_app=False)
def api_now(request: HttpRequest, app: ClientApp | None) -> HttpResponse:
    """Return the people who are on call at the time `at`, by default now.

    The response contains every schedule, or only the schedule whose name is in the parameter `schedule`.
    """
    at = _read_instant(request, "at", timezone.now())
    schedules = on_call.load_schedules()
    name = request.GET.get("schedule", "")
    entries = [
        OnCallEntry(one.schedule.pk, one.schedule.name, _person(one.person), one.until)
        for one in on_call.on_call_now(schedules, now=at)
        if name in ("", one.schedule.name)
    ]
    if name and not entries:
        return problem(404, f"there is no schedule with the name {name!r}")
    return json_response(OnCallNow(at, entries))


@api(Scope.ON_CALL, "GET", permission="alerts.view_schedule", needs_app=False)
def api_shifts(request: HttpRequest, app: ClientApp | None, pk: int) -> HttpResponse:
    schedule = Schedule.objects.with_people().filter(pk=pk).first()
    if schedule is None:
        return problem(404, "there is no such schedule")
    since = _read_instant(request, "from", timezone.now())
    until = _read_instant(request, "until", since + DEFAULT_PERIOD)
    if not since < until <= since + MAX_PERIOD:
        raise BadRequest("`until` must be after `from`, and at most 366 days later", 422)
    shifts = [
        ShiftOut(one.starts_at, one.ends_at, _person(one.person), one.reason)
        for one in on_call.list_shifts(schedule, since, until)
    ]
    return json_response(Shifts(schedule.name, shifts))


@api(Scope.ON_CALL, "GET", "POST", permission="alerts.view_schedule", needs_app=False)
def api_overrides(request: HttpRequest, app: ClientApp | None, pk: int) -> HttpResponse:
    """List up to MAX_OVERRIDES_LISTED overrides that have not ended, or add one."""
    schedule = Schedule.objects.filter(pk=pk).first()
    if schedule is None:
        return problem(404, "there is no such schedule")
    if request.method == "GET":
        current = schedule.overrides.filter(ends_at__gt=timezone.now()).order_by("starts_at", "pk")
        rows = current.select_related("person", "instead_of")[:MAX_OVERRIDES_LISTED]
        return json_response(Overrides([_override(row) for row in rows]))
    _require(request, "alerts.add_scheduleoverride")
    sent = read_json(request, NewOverride)
    for name, at in (("starts_at", sent.starts_at), ("ends_at", sent.ends_at)):
        if at.tzinfo is None:
            raise BadRequest(f"`{name}` has no UTC offset", 422)
    people = Person.objects.in_bulk([one for one in (sent.person, sent.instead_of) if one])
    for name, person_id in (("person", sent.person), ("instead_of", sent.instead_of)):
        if person_id is not None and person_id not in people:
            raise BadRequest(f"`{name}`: there is no person with the id {person_id}", 422)
    try:
        override = services.add_override(
            schedule,
            person=people[sent.person],
            starts_at=sent.starts_at,
            ends_at=sent.ends_at,
            instead_of=people[sent.instead_of] if sent.instead_of is not None else None,
            comment=sent.comment,
        )
    except ValidationError as error:
        raise BadRequest(" ".join(error.messages), 422) from error
    return json_response(_override(override), 201)


@api(Scope.ON_CALL, "DELETE", permission="alerts.delete_scheduleoverride", needs_app=False)
def api_override(
    request: HttpRequest, app: ClientApp | None, pk: int, override_id: int
) -> HttpResponse:
    deleted, _ = ScheduleOverride.objects.filter(pk=override_id, schedule_id=pk).delete()
    return HttpResponse(status=204) if deleted else problem(404, "there is no such override")


def _require(request: HttpRequest, permission: str) -> None:
    """Raise NotAllowed if the caller is a person without this permission."""
    person = person_of(request)
    if person is not None and not person.has_perm(permission):
        raise NotAllowed("your account lacks the permission for this request")


def _person(person: Person | None) -> OnCallPerson | None:
    return OnCallPerson(person.pk, person.name, person.email) if person else None


def _override(row: ScheduleOverride) -> OverrideOut:
    person = _person(row.person)
    assert person is not None
    return OverrideOut(
        row.pk, person, _person(row.instead_of), row.starts_at, row.ends_at, row.comment
    )


def _read_instant(request: HttpRequest, name: str, default: datetime) -> datetime:
    given = request.GET.get(name, "")
    if not given:
        return default
    parsed: Any = _parse_instant(given)
    if parsed is None or parsed.tzinfo is None or not 1990 <= parsed.year <= 2150:
        raise BadRequest(
            f"`{name}` must be a time with its UTC offset, such as 2026-03-02T09:00:00Z", 422
        )
    return parsed  # type: ignore[no-any-return]


def _parse_instant(text: str) -> datetime | None:
    try:
        # Clients may send the plus sign of an offset unescaped, which decodes to a space.
        return parse_datetime(text.replace(" ", "+"))
    except ValueError:
        return None
