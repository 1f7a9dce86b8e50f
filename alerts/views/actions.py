"""What staff do to alerts, one at a time and in bulk: always by POST, with who and when kept by the services."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited

from alerts import services
from alerts.models import Notification, SystemAlert
from alerts.views import may_change

MOST_AT_ONCE = 500
LONGEST_SILENCE_HOURS = 24 * 30
Alerts = QuerySet[SystemAlert]


class Refused(Exception):
    """The request does not say what it must; the text is for its sender."""


@require_POST
@may_change
def bulk(request: HttpRequest) -> HttpResponse:
    chosen = [pk for pk in request.POST.getlist("alert") if pk.isdecimal()][:MOST_AT_ONCE]
    return _act(request, SystemAlert.objects.visible().filter(pk__in=chosen))


@require_POST
@may_change
def act(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, _one(pk))


@require_POST
@may_change
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, _one(pk), "dismiss")


@require_POST
@may_change
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, _one(pk), "acknowledge")


@require_POST
@may_change
def resend(request: HttpRequest, pk: int) -> HttpResponse:
    notification = get_object_or_404(Notification, pk=pk)
    if is_ratelimited(request, group="alerts.resend", key="user", rate="20/m", increment=True):
        messages.warning(request, "Twenty a minute are enough; wait a little.")
    elif services.resend(notification, now=timezone.now()):
        messages.success(request, f"It will be sent to {notification.channel} again.")
    else:
        messages.info(request, "It is on its way already.")
    return redirect(safe_next(request))


@require_POST
@may_change
def run_checks(request: HttpRequest) -> HttpResponse:
    if is_ratelimited(request, group="alerts.run", key="user", rate="6/m", increment=True):
        messages.warning(request, "Six runs a minute are enough; wait a little.")
        return redirect(safe_next(request))
    done = services.run_all_checks(now=timezone.now())
    text = f"All checks ran. {done.evaluated}. {done.unread_count} unread."
    messages.success(request, text) if not done.evaluated.failed else messages.warning(
        request, text
    )
    return redirect(safe_next(request))


def _one(pk: int) -> Alerts:
    get_object_or_404(SystemAlert.objects.visible(), pk=pk)
    return SystemAlert.objects.visible().filter(pk=pk)


def _act(request: HttpRequest, alerts: Alerts, name: str = "") -> HttpResponse:
    """Do it, and say what came of it: to htmx by an event that lists of alerts listen to, else on the next page."""
    name = name or request.POST.get("action", "")
    assert isinstance(request.user, User)
    try:
        if name not in ACTIONS:
            raise Refused("This list knows no such action.")
        text, tone = ACTIONS[name](request, alerts, request.user, timezone.now()), "ok"
    except Refused as refusal:
        text, tone = str(refusal), "warning"
    if request.headers.get("HX-Request"):
        told = {"alerts-changed": "", "portal:message": {"text": text, "tone": tone}}
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(told)})
    (messages.success if tone == "ok" else messages.warning)(request, text)
    return redirect(safe_next(request))


def _acknowledge(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    return _said(services.acknowledge(alerts, user=user, now=now), alerts, "Acknowledged")


def _dismiss(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    hours = _hours(request)
    until = now + timedelta(hours=hours) if hours else None
    return _said(services.dismiss(alerts, user=user, now=now, until=until), alerts, "Dismissed")


def _read(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    return _said(services.mark_read(alerts, user=user, now=now), alerts, "Marked read")


def _resolve(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    return _said(services.resolve(alerts, user=user, now=now), alerts, "Resolved")


def _silence(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    hours = _hours(request) or _hours(request, "silence_hours") or 1
    count = services.silence(
        alerts, user=user, now=now, until=now + timedelta(hours=hours), comment="from the inbox"
    )
    return f"Silenced for {hours} h: {_alerts(count)}."


def _comment(request: HttpRequest, alerts: Alerts, user: User, now: datetime) -> str:
    text = request.POST.get("text", "").strip()
    if not text:
        raise Refused("A comment needs a text.")
    for alert in alerts:
        services.comment(alert, text=text, user=user, now=now)
    return "Comment added."


ACTIONS: dict[str, Callable[[HttpRequest, Alerts, User, datetime], str]] = {
    "acknowledge": _acknowledge,
    "dismiss": _dismiss,
    "read": _read,
    "resolve": _resolve,
    "silence": _silence,
    "comment": _comment,
}


def _hours(request: HttpRequest, name: str = "hours") -> int:
    given = request.POST.get(name, "")
    if not given:
        return 0
    if not given.isdecimal() or not 1 <= int(given[:9]) <= LONGEST_SILENCE_HOURS:
        raise Refused(f"Hours must be a whole number from 1 to {LONGEST_SILENCE_HOURS}.")
    return int(given)


def _alerts(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


def _said(count: int, alerts: Alerts, word: str) -> str:
    if not alerts:
        raise Refused("No alert was selected.")
    if not count:
        raise Refused("Nothing to do: somebody was faster, or it is over.")
    titles = [alert.title for alert in alerts]
    return f"{word}: {titles[0] if len(titles) == 1 else _alerts(count)}"


def safe_next(request: HttpRequest) -> str:
    """Where the form asked to go afterwards, if that is on this site."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return reverse("alerts:alert-list")
