"""Handle replies to messages: signed links, text messages, keys pressed in a call, and buttons in Slack.

Replies require no session, because links are secret and signed, and Twilio and Slack sign their requests.
"""

import time
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from alerts import signed_links
from alerts.channels import get_config, slack, twilio
from alerts.models import Channel, Person, SystemAlert
from alerts.queries.apps import may_act_on
from alerts.services import replies
from alerts.services.replies import Action
from core.lib import queue
from core.lib.http import problem

_KEYS = {"1": Action.ACKNOWLEDGE, "2": Action.RESOLVE}


# The secret URL authenticates the request, so the page must also work in a browser that rejects cookies.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Show the alert. Only POST changes it, because programs that scan messages follow links."""
    claim = signed_links.read_token(token)
    if claim is None or not may_act_on(claim.person, claim.alert):
        return render(request, "alerts/action_link.html", {"title": "Unknown link"}, status=404)
    outcome = ""
    if request.method == "POST":
        if request.POST.get("action") not in list(Action):
            return HttpResponse(status=400)
        outcome = replies.act(
            [claim.alert],
            Action(request.POST["action"]),
            person=claim.person,
            way="by a link",
            now=timezone.now(),
        )
        claim.alert.refresh_from_db()
    context = {
        "title": claim.alert.title,
        "alert": claim.alert,
        "person": claim.person,
        "outcome": outcome,
    }
    response = render(request, "alerts/action_link.html", context)
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response


@csrf_exempt
@require_POST
def sms(request: HttpRequest, pk: int) -> HttpResponse:
    """Act on a text message that Twilio forwards. See https://www.twilio.com/docs/messaging/guides/webhook-request"""
    channel = Channel.objects.enabled().filter(pk=pk, kind="sms").first()
    if channel is None or not _is_from_twilio(request, channel):
        return problem(403, "the signature is invalid")
    answer = replies.answer_text(
        channel,
        sender=request.POST.get("From", ""),
        text=request.POST.get("Body", ""),
        now=timezone.now(),
    )
    return _twiml(f"<Message>{escape(answer)}</Message>")


@csrf_exempt
@require_POST
def voice(request: HttpRequest, token: str) -> HttpResponse:
    """Act on the key that the person pressed during a call."""
    channels = Channel.objects.enabled().filter(kind="voice")
    if not any(_is_from_twilio(request, channel) for channel in channels):
        return problem(403, "the signature is invalid")
    claim = signed_links.read_token(token)
    action = _KEYS.get(request.POST.get("Digits", ""))
    if claim is None or action is None:
        return _twiml("<Say>No action is assigned to this key. Goodbye.</Say>")
    now = timezone.now()
    text = replies.act([claim.alert], action, person=claim.person, way="by phone", now=now)
    return _twiml(f"<Say>{escape(text)}</Say>")


def _is_from_twilio(request: HttpRequest, channel: Channel) -> bool:
    parameters = {name: str(value) for name, value in request.POST.items()}
    expected = twilio.sign(
        settings.BASE_URL + request.get_full_path(), parameters, get_config(channel)["auth_token"]
    )
    return constant_time_compare(request.headers.get("X-Twilio-Signature", ""), expected)


def _twiml(content: str) -> HttpResponse:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Response>{content}</Response>'
    return HttpResponse(text, content_type="text/xml")


class SlackUser(msgspec.Struct):
    id: str = ""
    username: str = ""


class SlackAction(msgspec.Struct):
    action_id: str = ""
    value: str = ""


class SlackPayload(msgspec.Struct):
    """The payload of a click. See https://api.slack.com/reference/interaction-payloads/block-actions"""

    user: SlackUser
    actions: list[SlackAction] = []
    response_url: str = ""


@csrf_exempt
@require_POST
def slack_button(request: HttpRequest, pk: int) -> HttpResponse:
    """Perform the action of a button that was clicked in Slack, and show the result there."""
    channel = Channel.objects.enabled().filter(pk=pk, kind="slack").first()
    if channel is None or not slack.is_authentic(
        get_config(channel)["signing_secret"],
        request.headers.get("X-Slack-Request-Timestamp", ""),
        request.body,
        request.headers.get("X-Slack-Signature", ""),
        now=time.time(),
    ):
        return problem(403, "the signature is invalid or old")
    form: dict[str, Any] = dict(parse_qsl(request.body.decode(errors="replace")))
    try:
        payload = msgspec.json.decode(form.get("payload", ""), type=SlackPayload)
    except msgspec.DecodeError as error:
        return problem(400, f"invalid Slack payload: {error}")
    person = Person.objects.filter(slack_id=payload.user.id, is_active=True).exclude(slack_id="")
    for one in payload.actions:
        alerts = _find_alerts(one.value)
        if not alerts or one.action_id not in list(Action):
            continue  # Nothing needs to be done: the button only opens a link, or its alerts were deleted.
        who = person.first()
        way = "in Slack" if who else f"by {payload.user.username[:80] or 'someone'} in Slack"
        text = replies.act(alerts, Action(one.action_id), person=who, way=way, now=timezone.now())
        if payload.response_url:
            queue.enqueue("alerts.tasks.answer_in_slack", url=payload.response_url, text=text)
    return HttpResponse()


def _find_alerts(references: str) -> list[SystemAlert]:
    """Return the alerts that a button names, such as "17.1,18.2", if they are still in the same episode."""
    numbers = [reference.split(".") for reference in references[:2000].split(",")]
    episodes = {
        int(pair[0]): int(pair[1])
        for pair in numbers
        if len(pair) == 2 and all(part.isdecimal() and len(part) <= 18 for part in pair)
    }
    alerts = SystemAlert.objects.visible().in_bulk(list(episodes))
    return [
        alerts[pk]
        for pk, episode in episodes.items()
        if pk in alerts and alerts[pk].episode == episode
    ]
