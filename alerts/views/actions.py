"""Handle actions of staff on alerts. All views require POST, and the services record who changed an alert and when."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited

from alerts import services
from alerts.models import AlertEvent, Notification, SystemAlert
from alerts.queries import search
from alerts.queries.impact import ALERT, describe_alert
from alerts.views import may_change
from core.lib import staff_actions
from core.lib.app_access import limit, reading_as
from impact.services.win_back import write_win_back_list

MAX_SILENCE_HOURS = 24 * 30
Alerts = QuerySet[SystemAlert]


class InvalidAction(Exception):
    """The request is invalid; the text of the exception is shown to the user."""


@require_POST
@may_change
def bulk(request: HttpRequest) -> HttpResponse:
    """Act on the selected alerts and groups of alerts, or on all that match the filters, up to MAX_ROWS."""
    return _perform(request, _select(request))


def _select(request: HttpRequest) -> Alerts:
    visible = limit(SystemAlert.objects.visible())
    chosen = Q(pk__in=staff_actions.chosen_ids(request, "alert"))
    is_everything = staff_actions.wants_all_matching(request)
    families = request.POST.getlist("family")[: staff_actions.MAX_ROWS]
    if is_everything or families:
        parameters = QueryDict(request.POST.get("query", "")[:5_000])
        found = search.find_alerts(parameters, user=request.user, now=timezone.now())
        matching = found.alerts
        if not is_everything:
            matching = search.of_families(matching, found.group_by, families)
        newest = request.POST.get("newest", "")
        # Alerts that opened after the page was loaded are left out, because the user has not seen them.
        if newest.isdecimal():
            matching = matching.filter(pk__lte=int(newest[:18]))
        chosen |= Q(pk__in=matching.order_by().values("pk"))
    return visible.filter(chosen).order_by("pk")[: staff_actions.MAX_ROWS]


@require_POST
@may_change
def act(request: HttpRequest, pk: int) -> HttpResponse:
    return _perform(request, _find_alert(pk))


@require_POST
@may_change
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    return _perform(request, _find_alert(pk), "dismiss")


@require_POST
@may_change
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    return _perform(request, _find_alert(pk), "acknowledge")


@require_POST
@may_change
def resend(request: HttpRequest, pk: int) -> HttpResponse:
    notification = get_object_or_404(limit(Notification.objects.all()), pk=pk)
    if is_ratelimited(request, group="alerts.resend", key="user", rate="20/m", increment=True):
        messages.warning(
            request, "“Send again” can be used 20 times per minute. Try again shortly."
        )
    elif services.resend(notification, now=timezone.now()):
        messages.success(request, f"The message will be sent to {notification.channel} again.")
    else:
        messages.info(request, "The message is already being sent.")
    return redirect(get_safe_next_url(request))


@require_POST
@may_change
def run_checks(request: HttpRequest) -> HttpResponse:
    if is_ratelimited(request, group="alerts.run", key="user", rate="6/m", increment=True):
        messages.warning(request, "The limit of 6 runs per minute was reached. Try again shortly.")
        return redirect(get_safe_next_url(request))
    with reading_as(None):  # The checks concern every app, not only the apps that the user may see.
        result = services.run_all_checks(now=timezone.now())
    text = f"All checks ran. {result.evaluation}. Unread alerts: {result.unread_count}."
    (messages.warning if result.evaluation.failed else messages.success)(request, text)
    return redirect(get_safe_next_url(request))


def _find_alert(pk: int) -> Alerts:
    get_object_or_404(limit(SystemAlert.objects.visible()), pk=pk)
    return limit(SystemAlert.objects.visible()).filter(pk=pk)


def _perform(request: HttpRequest, alerts: Alerts, name: str = "") -> HttpResponse:
    """Perform the action `name` or, by default, the action that the form names.

    An htmx request gets the result as an event that refreshes lists. Otherwise, the next page shows the result.
    """
    name = name or request.POST.get("action", "")
    assert isinstance(request.user, User)
    batch = uuid.uuid4()
    try:
        if name not in ACTIONS:
            raise InvalidAction("Unknown action.")
        text, tone = ACTIONS[name](request, alerts, request.user, timezone.now(), batch), "ok"
    except InvalidAction as error:
        text, tone = str(error), "warning"
    is_undoable = AlertEvent.objects.filter(batch=batch).exists()
    return staff_actions.answer(
        request,
        text,
        tone=tone,
        list_event="alerts-changed",
        back=reverse("alerts:alert-list"),
        undo_url=reverse("alerts:alert-undo", args=[batch]) if is_undoable else "",
    )


@require_POST
@may_change
def undo(request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
    assert isinstance(request.user, User)
    count = services.undo(batch, user=request.user, now=timezone.now())
    return staff_actions.answer(
        request,
        f"Undone: {_count_alerts(count)}."
        if count
        else "Nothing was undone: the alerts have changed since, or more than an hour has passed.",
        tone="ok" if count else "warning",
        list_event="alerts-changed",
        back=reverse("alerts:alert-list"),
    )


def _acknowledge(
    request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID
) -> str:
    return _describe_outcome(
        services.acknowledge(alerts, user=user, now=now, batch=batch), alerts, "Acknowledged"
    )


def _dismiss(request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID) -> str:
    hours = _parse_hours(request)
    until = now + timedelta(hours=hours) if hours else None
    return _describe_outcome(
        services.dismiss(alerts, user=user, now=now, until=until, batch=batch), alerts, "Dismissed"
    )


def _read(request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID) -> str:
    return _describe_outcome(
        services.mark_read(alerts, user=user, now=now, batch=batch), alerts, "Marked read"
    )


def _resolve(request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID) -> str:
    return _describe_outcome(
        services.resolve(alerts, user=user, now=now, batch=batch), alerts, "Resolved"
    )


def _resolve_and_list(
    request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID
) -> str:
    """Resolve the alerts, and create a list of the buyers whose orders were lost because of each problem."""
    descriptions = {
        alert.pk: describe_alert(alert, now=now) for alert in alerts.select_related("rule")
    }
    text = _resolve(request, alerts, user, now, batch)
    count = 0
    for pk, description in descriptions.items():
        written = write_win_back_list(
            kind=ALERT, id=pk, description=description, user=user, now=now
        )
        count += written.entries.count()
    orders = "1 lost order is" if count == 1 else f"{count:,} lost orders are"
    return f"{text}. {orders} listed under “All affected orders”."


def _silence(request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID) -> str:
    hours = _parse_hours(request) or _parse_hours(request, "silence_hours") or 1
    count = services.silence(
        alerts,
        user=user,
        now=now,
        until=now + timedelta(hours=hours),
        comment="from the inbox",
        batch=batch,
    )
    return f"Silenced for {hours} h: {_count_alerts(count)}."


def _comment(request: HttpRequest, alerts: Alerts, user: User, now: datetime, batch: UUID) -> str:
    text = request.POST.get("text", "").strip()
    if not text:
        raise InvalidAction("Enter a comment.")
    for alert in alerts:
        services.comment(alert, text=text, user=user, now=now)
    return "Comment added."


ACTIONS: dict[str, Callable[[HttpRequest, Alerts, User, datetime, UUID], str]] = {
    "acknowledge": _acknowledge,
    "dismiss": _dismiss,
    "read": _read,
    "resolve": _resolve,
    "resolve_and_list": _resolve_and_list,
    "silence": _silence,
    "comment": _comment,
}


def _parse_hours(request: HttpRequest, name: str = "hours") -> int:
    given = request.POST.get(name, "")
    if not given:
        return 0
    if not given.isdecimal() or not 1 <= int(given[:9]) <= MAX_SILENCE_HOURS:
        raise InvalidAction(f"Enter a whole number of hours from 1 to {MAX_SILENCE_HOURS}.")
    return int(given)


def _count_alerts(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


def _describe_outcome(count: int, alerts: Alerts, word: str) -> str:
    if not alerts:
        raise InvalidAction("No alert was selected.")
    if not count:
        raise InvalidAction("Nothing was changed: the alert is already in this state or resolved.")
    what = alerts[0].title if len(alerts) == 1 else _count_alerts(count)
    rest = (
        ""
        if len(alerts) < staff_actions.MAX_ROWS
        else f". One action changes at most {staff_actions.MAX_ROWS} alerts; repeat it for the other alerts."
    )
    return f"{word}: {what}{rest}"


def get_safe_next_url(request: HttpRequest) -> str:
    return staff_actions.safe_next_url(request, reverse("alerts:alert-list"))
