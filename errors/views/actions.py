"""Staff actions on groups, one at a time and in bulk."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from errors.exceptions import CannotMerge, InvalidForm
from errors.models import ErrorGroup
from errors.queries.mentions import GROUP, describe_group
from errors.services import merging, triage
from impact.services.win_back import write_win_back_list

MAX_BULK_GROUPS = 500
may_change = permission_required("errors.change_errorgroup", raise_exception=True)

Groups = QuerySet[ErrorGroup]
Action = Callable[[HttpRequest, Groups, User, datetime], str]


def _number(request: HttpRequest, name: str, maximum: int = 10**9) -> int | None:
    given = request.POST.get(name, "")
    if not given:
        return None
    if not given.isdecimal() or not 1 <= int(given[:20]) <= maximum:
        raise InvalidForm(f"{name} must be a whole number from 1 to {maximum:,}")
    return int(given)


def _text(request: HttpRequest, name: str, max_length: int) -> str:
    return (
        request.POST.get(name, "").replace("\0", "").strip()[:max_length]
    )  # PostgreSQL cannot store NUL


def _groups(count: int) -> str:
    return "1 error" if count == 1 else f"{count} errors"


def _resolve(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    release = _text(request, "release", 200)
    changed = triage.resolve_groups(groups, user=user, now=now, release=release)
    return f"{_groups(changed)} resolved" + (f" in release {release}." if release else ".")


def _resolve_and_list(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    """Resolve the groups, and write a list of the buyers whose orders each of them lost."""
    text = _resolve(request, groups, user, now)
    count = 0
    for group in groups:
        written = write_win_back_list(
            kind=GROUP, id=group.pk, description=describe_group(group), user=user, now=now
        )
        count += written.entries.count()
    orders = "1 lost order is" if count == 1 else f"{count:,} lost orders are"
    return f"{text} {orders} listed under “All affected orders”."


def _mute(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    hours = _number(request, "hours", 24 * 365)
    events, users = _number(request, "events"), _number(request, "users")
    changed = triage.mute_groups(
        groups,
        user=user,
        now=now,
        until=now + timedelta(hours=hours) if hours else None,
        events=events,
        users=users,
    )
    return f"{_groups(changed)} muted."


def _reopen(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    return f"{_groups(triage.reopen_groups(groups, user=user, now=now))} reopened."


def _assign(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    """Assign to the user in the form. Without one (in bulk), assign to the current user; an empty value unassigns."""
    given = request.POST.get("user", str(user.pk))
    to: User | None = None
    if given:
        if not given.isdecimal():
            raise InvalidForm("unknown user")
        to = get_object_or_404(
            get_user_model().objects.filter(is_staff=True, is_active=True), pk=int(given[:18])
        )
    changed = triage.assign_groups(groups, user=user, now=now, to=to)
    return f"{_groups(changed)} assigned to {to}." if to else f"{_groups(changed)} unassigned."


def _merge(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    chosen = list(groups)
    try:
        kept = merging.merge_groups(chosen, user=user, now=now)
    except CannotMerge as refusal:
        raise InvalidForm(str(refusal)) from refusal
    return f"{_groups(len(chosen))} merged into: {kept.title}"


def _unmerge(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
    given = request.POST.get("merged", "")
    if not given.isdecimal():
        raise InvalidForm("select the error to unmerge")
    other = get_object_or_404(ErrorGroup, pk=int(given[:18]), merged_into__in=groups)
    merging.unmerge_group(other, user=user, now=now)
    return f"Unmerged: {other.title}"


def _comment(request: HttpRequest, groups: Groups, user: User, now: datetime) -> str:
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


def _act(request: HttpRequest, actions: dict[str, Action], groups: Groups) -> None:
    action = actions.get(request.POST.get("action", ""))
    if action is None:
        messages.error(request, "Nothing was changed: unknown action.")
        return
    assert isinstance(request.user, User)
    try:
        messages.success(request, action(request, groups, request.user, timezone.now()))
    except InvalidForm as refusal:
        messages.error(request, f"Nothing was changed: {refusal}.")


@require_POST
@may_change
def group_act(request: HttpRequest, group_id: int) -> HttpResponse:
    get_object_or_404(ErrorGroup, pk=group_id)
    _act(request, GROUP_ACTIONS, ErrorGroup.objects.filter(pk=group_id))
    return HttpResponseRedirect(reverse("errors:group-detail", args=[group_id]))


@require_POST
@may_change
def group_bulk(request: HttpRequest) -> HttpResponse:
    ids = [int(one) for one in request.POST.getlist("group") if one.isdecimal() and len(one) < 19]
    if ids:
        _act(
            request, BULK_ACTIONS, ErrorGroup.objects.visible().filter(pk__in=ids[:MAX_BULK_GROUPS])
        )
    else:
        messages.warning(request, "Nothing was changed: select at least one error first.")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
        back = reverse("errors:group-list")
    return HttpResponseRedirect(back)
