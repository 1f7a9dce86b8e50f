"""Handle actions of staff on one or several groups."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from core.accounts.queries import sees
from core.clients.models import ClientApp
from core.lib import staff_actions
from core.lib.app_access import limit
from errors.exceptions import CannotMerge, InvalidForm, NotStorable, Unavailable
from errors.models import ErrorEvent, ErrorGroup, GroupNote
from errors.queries.mentions import GROUP, describe_group
from errors.queries.search import find_groups
from errors.services import deletion, merging, sample_error, triage
from impact.services.win_back import write_win_back_list

VIEW = "errors.view_errorgroup"
may_delete = permission_required("errors.delete_errorgroup", raise_exception=True)
may_change = permission_required("errors.change_errorgroup", raise_exception=True)

Groups = QuerySet[ErrorGroup]
Action = Callable[[HttpRequest, Groups, User, datetime, UUID], str]


def _number(request: HttpRequest, name: str, maximum: int = 10**9) -> int | None:
    given = request.POST.get(name, "")
    if not given:
        return None
    if not given.isdecimal() or not 1 <= int(given[:20]) <= maximum:
        raise InvalidForm(f"{name} must be a whole number from 1 to {maximum:,}")
    return int(given)


def _text(request: HttpRequest, name: str, max_length: int) -> str:
    # PostgreSQL cannot store NUL characters.
    return request.POST.get(name, "").replace("\0", "").strip()[:max_length]


def _groups(count: int) -> str:
    return "1 error" if count == 1 else f"{count} errors"


def _resolve(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    release = _text(request, "release", 200)
    changed = triage.resolve_groups(groups, user=user, now=now, release=release, batch=batch)
    return f"{_groups(changed)} resolved" + (f" in release {release}." if release else ".")


def _resolve_and_list(
    request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID
) -> str:
    """Resolve the groups, and create a win-back list for each group: the buyers of the orders lost because of it."""
    text = _resolve(request, groups, user, now, batch)
    count = 0
    for group in groups:
        written = write_win_back_list(
            kind=GROUP, id=group.pk, description=describe_group(group), user=user, now=now
        )
        count += written.entries.count()
    orders = "1 lost order is" if count == 1 else f"{count:,} lost orders are"
    return f"{text} {orders} listed under “All affected orders”."


def _mute(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    hours = _number(request, "hours", 24 * 365)
    events, users = _number(request, "events"), _number(request, "users")
    changed = triage.mute_groups(
        groups,
        user=user,
        now=now,
        until=now + timedelta(hours=hours) if hours else None,
        events=events,
        users=users,
        batch=batch,
    )
    return f"{_groups(changed)} muted."


def _reopen(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    return f"{_groups(triage.reopen_groups(groups, user=user, now=now, batch=batch))} reopened."


def _assign(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    """Assign the groups to the `user` in the form or, without this field, to the current user.

    If `user` is "", the groups become unassigned. Raises InvalidForm if `user` is not a number or the user may not see
    the groups, and Http404 unless the user is active staff.
    """
    given = request.POST.get("user", str(user.pk))
    to: User | None = None
    if given:
        if not given.isdecimal():
            raise InvalidForm("unknown user")
        to = get_object_or_404(
            User.objects.filter(is_staff=True, is_active=True), pk=int(given[:18])
        )
        apps = set(groups.values_list("app_id", flat=True))
        if not sees(to, apps, VIEW):
            raise InvalidForm(f"{to} is not allowed to see all of these errors")
    changed = triage.assign_groups(groups, user=user, now=now, to=to, batch=batch)
    return f"{_groups(changed)} assigned to {to}." if to else f"{_groups(changed)} unassigned."


def _merge(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    chosen = list(groups)
    try:
        kept = merging.merge_groups(chosen, user=user, now=now, batch=batch)
    except CannotMerge as refusal:
        raise InvalidForm(str(refusal)) from refusal
    return f"{_groups(len(chosen))} merged into: {kept.title}"


def _unmerge(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    given = request.POST.get("merged", "")
    if not given.isdecimal():
        raise InvalidForm("select the error to unmerge")
    other = get_object_or_404(
        limit(ErrorGroup.objects.all()), pk=int(given[:18]), merged_into__in=groups
    )
    merging.unmerge_group(other, user=user, now=now)
    return f"Unmerged: {other.title}"


def _comment(request: HttpRequest, groups: Groups, user: User, now: datetime, batch: UUID) -> str:
    text = _text(request, "text", 5000)
    if not text:
        raise InvalidForm("enter a comment")
    for group in groups:
        triage.add_comment(group, user=user, now=now, text=text)
    return "Comment added."


BULK_ACTIONS: dict[str, Action] = {
    "resolve": _resolve,
    "mute": _mute,
    "reopen": _reopen,
    "assign": _assign,
    "merge": _merge,
}
GROUP_ACTIONS: dict[str, Action] = {
    **BULK_ACTIONS,
    "comment": _comment,
    "unmerge": _unmerge,
    "resolve_and_list": _resolve_and_list,
}


def _act(
    request: HttpRequest, actions: dict[str, Action], groups: Groups, *, back: str
) -> HttpResponse:
    assert isinstance(request.user, User)
    batch = uuid.uuid4()
    try:
        action = actions.get(request.POST.get("action", ""))
        if action is None:
            raise InvalidForm("unknown action")
        text, tone = action(request, groups, request.user, timezone.now(), batch), "ok"
    except InvalidForm as refusal:
        text, tone = f"Nothing was changed: {refusal}.", "warning"
    is_undoable = GroupNote.objects.filter(batch=batch).exists()
    return staff_actions.answer(
        request,
        text,
        tone=tone,
        list_event="errors-changed",
        back=back,
        undo_url=reverse("errors:group-undo", args=[batch]) if is_undoable else "",
    )


@require_POST
@may_change
def group_act(request: HttpRequest, group_id: int) -> HttpResponse:
    get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    groups = limit(ErrorGroup.objects.filter(pk=group_id))
    back = reverse("errors:group-detail", args=[group_id])
    return _act(request, GROUP_ACTIONS, groups, back=back)


@require_POST
@may_change
def group_bulk(request: HttpRequest) -> HttpResponse:
    """Apply an action to the checked groups, or to up to MAX_ROWS groups that match the filters of the list."""
    ids = staff_actions.chosen_ids(request, "group")
    if staff_actions.wants_all_matching(request):
        parameters = QueryDict(request.POST.get("query", "")[:5_000])
        found = find_groups(parameters, user=request.user, now=timezone.now()).groups
        newest = request.POST.get("newest", "")
        if newest.isdecimal():  # Groups that began after the page was loaded are left out.
            found = found.filter(pk__lte=int(newest[:18]))
        ids = list(found.order_by("pk").values_list("pk", flat=True)[: staff_actions.MAX_ROWS])
    back = reverse("errors:group-list")
    if not ids:
        return staff_actions.answer(
            request,
            "Nothing was changed: select at least one error first.",
            tone="warning",
            list_event="errors-changed",
            back=back,
        )
    groups = limit(ErrorGroup.objects.visible().filter(pk__in=ids))
    return _act(request, BULK_ACTIONS, groups, back=back)


@require_POST
@may_change
def undo(request: HttpRequest, batch: UUID) -> HttpResponse:
    assert isinstance(request.user, User)
    count = triage.undo(batch, user=request.user, now=timezone.now())
    return staff_actions.answer(
        request,
        f"Undone: {_groups(count)}."
        if count
        else "Nothing was undone: the errors have changed since, or more than an hour has passed.",
        tone="ok" if count else "warning",
        list_event="errors-changed",
        back=reverse("errors:group-list"),
    )


@require_POST
@may_delete
def group_delete(request: HttpRequest, group_id: int) -> HttpResponse:
    """Delete a group and its events."""
    group = get_object_or_404(limit(ErrorGroup.objects.visible()), pk=group_id)
    deletion.delete_groups([group], now=timezone.now())
    messages.success(request, f"The error was deleted with all its events: {group.title}")
    return redirect("errors:group-list")


@require_POST
@may_delete
def event_delete(request: HttpRequest, group_id: int, event_id: int) -> HttpResponse:
    group = get_object_or_404(limit(ErrorGroup.objects.all()), pk=group_id)
    event = get_object_or_404(limit(ErrorEvent.objects.all()), pk=event_id, group__in=group.family)
    deletion.delete_event(event)
    messages.success(request, f"The event {event.event_id.hex[:8]} was deleted.")
    return redirect("errors:group-detail", group_id)


@require_POST
@may_delete
def user_delete(request: HttpRequest, group_id: int) -> HttpResponse:
    """Delete all events of the user `user_key` in the group's app, including those of other groups."""
    group = get_object_or_404(limit(ErrorGroup.objects.select_related("app")), pk=group_id)
    user_key = _text(request, "user_key", 128)
    if not user_key:
        messages.warning(request, "Nothing was deleted: choose a user.")
    else:
        deletion.delete_events_of_user(app=group.app, user_key=user_key, now=timezone.now())
        messages.success(request, f"All events of the user in {group.app.name} were deleted.")
    return redirect("errors:group-users", group_id)


@require_POST
@permission_required(["clients.change_clientapp", "errors.view_errorgroup"], raise_exception=True)
def send_sample(request: HttpRequest, app_id: int) -> HttpResponse:
    """Report a test error for the app, and redirect to its group."""
    app = get_object_or_404(limit(ClientApp.objects.all()), pk=app_id)
    try:
        group = sample_error.report_sample(app, now=timezone.now())
    except (NotStorable, Unavailable) as error:
        messages.error(request, f"The test error was not stored: {error}")
        return redirect("clients:key-list", app_id)
    messages.success(request, f"A test error of {app.name} was stored. It has the severity info.")
    return redirect("errors:group-detail", group.pk)
