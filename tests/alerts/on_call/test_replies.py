"""Test that people can acknowledge and resolve alerts by a link, a text message, a call, or a button in Slack."""

import hashlib
import hmac
import json
import time as clock
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alerts import services, signed_links
from alerts.channels import twilio
from alerts.models import AlertType, Channel, Person, SystemAlert, Team
from alerts.services import replies
from alerts.tasks import answer_in_slack
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.alerts.on_call.support import (
    bodies,
    make_rule,
    make_step,
)
from tests.factories import make_alert, make_app
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


# --- links -------------------------------------------------------------------------------------------------


def test_a_link_shows_the_alert_and_acts_only_on_post(client: Client, ann: Person) -> None:
    alert = make_alert(now=NOON)
    url = reverse("alerts:action-link", args=[signed_links.build_token(alert, ann)])

    page = client.get(url).content.decode()
    assert alert.title in page
    assert "Acknowledge" in page
    alert.refresh_from_db()
    assert alert.state == "open"

    done = client.post(url, {"action": "acknowledge"}).content.decode()
    assert f"Acknowledged: {alert.title}" in done
    alert.refresh_from_db()
    assert alert.state == "acknowledged"
    assert alert.events.filter(kind="acknowledged", text="by Ann by a link").exists()
    again = client.post(url, {"action": "acknowledge"}).content.decode()
    assert f"Already acknowledged: {alert.title}" in again
    assert client.post(url, {"action": "delete"}).status_code == 400
    client.post(url, {"action": "resolve"})
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_forged_link_gets_a_404(client: Client, ann: Person) -> None:
    alert, other = make_alert(now=NOON), make_alert(now=NOON)
    token = signed_links.build_token(alert, ann)
    forged = token.replace(f"{alert.pk}.", f"{other.pk}.", 1)

    for wrong in (forged, token[:-1], "1", "..", "é.1.1.x", f"{token}x"):
        assert client.post(f"/a/{wrong}/", {"action": "resolve"}).status_code == 404
    Person.objects.update(is_active=False)
    assert client.get(f"/a/{token}/").status_code == 404
    assert not SystemAlert.objects.filter(state="resolved").exists()


# --- text messages and calls -------------------------------------------------------------------------------


def send_sms(
    client: Client, channel: Channel, text: str, sender: str, token: str = "secret"
) -> Any:
    url = reverse("alerts:reply-sms", args=[channel.pk])
    data = {"From": sender, "Body": text, "MessageSid": "SM9"}
    signature = twilio_signature(url, data, token)
    return client.post(url, data, headers={"X-Twilio-Signature": signature})


def twilio_signature(path: str, data: dict[str, str], token: str) -> str:
    return twilio.sign(django_settings.BASE_URL + path, data, token)


def test_the_signature_matches_the_example_in_twilios_documentation() -> None:
    """Test the example in https://www.twilio.com/docs/usage/security."""
    data = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }

    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio.sign(url, data, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.fixture
def sent_sms(ann: Person, voice: Channel) -> Channel:
    """Set up the SMS channel to notify Ann and to accept her replies."""
    channel = Channel.objects.get(name="sms")
    channel.config = {**channel.config, "accepts_replies": "True"}
    channel.save()
    make_step(people=[ann])
    make_rule(ann, 0, channel)
    return channel


def test_a_reply_acknowledges_the_alert_that_was_sent(
    client: Client, sent_sms: Channel, twilio: FakeHTTP
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)
    assert f"Reply ACK {alert.pk} or RES {alert.pk}" in bodies(twilio)[0]["Body"]

    answer = send_sms(client, sent_sms, " Ack. ", "+15550111").content.decode()

    assert f"<Message>Acknowledged: {alert.title}</Message>" in answer
    alert.refresh_from_db()
    assert alert.state == "acknowledged"
    assert alert.events.filter(text="by Ann by text message").exists()
    assert "Resolved" in send_sms(client, sent_sms, f"res {alert.pk}", "+15550111").content.decode()


def test_a_reply_acknowledges_one_alert_by_its_number_or_all_alerts(
    client: Client, sent_sms: Channel, twilio: FakeHTTP
) -> None:
    _, second = make_alert(now=NOON), make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)

    assert "2 alerts are open" in send_sms(client, sent_sms, "ok", "+15550111").content.decode()
    assert not SystemAlert.objects.filter(state="acknowledged").exists()
    send_sms(client, sent_sms, f"ACK {second.pk}", "+15550111")
    assert SystemAlert.objects.get(state="acknowledged") == second
    send_sms(client, sent_sms, "RES ALL", "+15550111")
    assert SystemAlert.objects.filter(state="resolved").count() == 2


def test_unusable_replies_change_nothing(client: Client, sent_sms: Channel) -> None:
    alert = make_alert(now=NOON)

    assert (
        "sends no alerts to this number"
        in send_sms(client, sent_sms, "ACK", "+15559999").content.decode()
    )
    assert "Reply ACK" in send_sms(client, sent_sms, "what?", "+15550111").content.decode()
    assert "no alert 9999" in send_sms(client, sent_sms, "ACK 9999", "+15550111").content.decode()
    assert send_sms(client, sent_sms, "ACK", "+15550111", token="wrong").status_code == 403
    unsigned = client.post(reverse("alerts:reply-sms", args=[sent_sms.pk]), {"Body": "ACK"})
    assert unsigned.status_code == 403
    alert.refresh_from_db()
    assert alert.state == "open"


@pytest.mark.parametrize(
    ("digit", "state"), [("1", "acknowledged"), ("2", "resolved"), ("9", "open")]
)
def test_pressing_a_key_during_a_call_acts_on_the_alert(
    client: Client, ann: Person, voice: Channel, digit: str, state: str
) -> None:
    alert = make_alert(now=NOON)
    url = reverse("alerts:reply-voice", args=[signed_links.build_token(alert, ann)])
    data = {"Digits": digit, "From": "+15550001"}

    assert client.post(url, data, headers={"X-Twilio-Signature": "x"}).status_code == 403
    signed = client.post(
        url, data, headers={"X-Twilio-Signature": twilio_signature(url, data, "secret")}
    )

    assert signed.status_code == 200
    alert.refresh_from_db()
    assert alert.state == state


# --- Slack -----------------------------------------------------------------------------------------------------


@pytest.fixture
def slack_app(slack: FakeHTTP) -> Channel:
    channel = Channel.objects.get(name="slack")
    channel.config = {**channel.config, "signing_secret": "s3cret"}
    channel.save()
    return channel


def click(client: Client, channel: Channel, payload: object, *, at: float, secret: str) -> Any:
    body = urlencode({"payload": json.dumps(payload)}).encode()
    base = b"v0:%d:%s" % (int(at), body)
    signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return client.post(
        reverse("alerts:reply-slack", args=[channel.pk]),
        body,
        content_type="application/x-www-form-urlencoded",
        headers={"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": str(int(at))},
    )


def test_a_button_in_slack_acts_and_shows_the_outcome(
    client: Client, ann: Person, slack_app: Channel, slack: FakeHTTP
) -> None:
    Person.objects.update(slack_id="U024BE7LH")
    alert = make_alert(now=NOON)
    deliver(NOON)
    buttons = slack.requests[0].json()["attachments"][0]["blocks"][-1]["elements"]
    assert [b.get("action_id") for b in buttons] == ["acknowledge", "resolve", None]
    payload = {
        "type": "block_actions",
        "user": {"id": "U024BE7LH", "username": "ann.b"},
        "actions": [{"action_id": "acknowledge", "value": buttons[0]["value"]}],
        "response_url": f"{slack.url}/response",
    }

    for at, secret in ((clock.time(), "wrong"), (clock.time() - 400, "s3cret")):
        assert click(client, slack_app, payload, at=at, secret=secret).status_code == 403
    alert.refresh_from_db()
    assert alert.state == "open"

    assert click(client, slack_app, payload, at=clock.time(), secret="s3cret").status_code == 200
    alert.refresh_from_db()
    assert alert.state == "acknowledged"
    assert alert.events.filter(text="by Ann in Slack").exists()


def test_without_a_signing_secret_there_are_no_buttons_and_no_clicks(
    client: Client, slack: FakeHTTP
) -> None:
    make_alert(now=NOON)
    deliver(NOON)
    buttons = slack.requests[0].json()["attachments"][0]["blocks"][-1]["elements"]
    channel = Channel.objects.get(name="slack")

    assert [b.get("action_id") for b in buttons] == [None]
    assert click(client, channel, {}, at=clock.time(), secret="").status_code == 403


def test_the_outcome_of_a_button_is_posted_to_slack(slack: FakeHTTP) -> None:
    answer_in_slack(url=f"{slack.url}/response", text="Acknowledged: x")
    slack.default.status = 404
    answer_in_slack(url=f"{slack.url}/response", text="expired")

    assert slack.requests[0].json()["text"] == "Acknowledged: x"


# --- messages about several alerts -----------------------------------------------------------------------------


def make_related(*titles: str, **fields: Any) -> list[SystemAlert]:
    """Open one alert per title, all about one app, so that the portal merges their messages into one."""
    return [make_alert(title=title, labels={"app": "shop"}, now=NOON, **fields) for title in titles]


def states() -> dict[str, str]:
    return dict(SystemAlert.objects.values_list("title", "state"))


def test_a_button_in_slack_acts_on_all_alerts_that_the_message_names(
    client: Client, slack_app: Channel, slack: FakeHTTP
) -> None:
    first, second, _ = make_related("A", "B", "C")
    deliver(NOON)
    (message,) = slack.requests
    buttons = message.json()["attachments"][0]["blocks"][-1]["elements"]
    assert [b["text"]["text"] for b in buttons[:2]] == ["Acknowledge all 3", "Resolve all 3"]
    # The click must neither reopen the resolved alert nor acknowledge the alert that the message does not name.
    services.resolve([second], user=None, now=NOON)
    make_alert(title="D", now=NOON)
    payload = {
        "user": {"id": "U1", "username": "ann.b"},
        "actions": [{"action_id": "acknowledge", "value": buttons[0]["value"]}],
        "response_url": f"{slack.url}/response",
    }

    click(client, slack_app, payload, at=clock.time(), secret="s3cret")

    expected = {"A": "acknowledged", "B": "resolved", "C": "acknowledged", "D": "open"}
    assert states() == expected
    assert first.events.filter(kind="acknowledged", text="by ann.b in Slack").exists()


def test_a_repeated_message_still_names_all_alerts(slack_app: Channel, slack: FakeHTTP) -> None:
    alerts = make_related("A", "B")
    slack.answer(500)
    deliver(NOON)
    deliver(NOON + MINUTE)

    values = [
        request.json()["attachments"][0]["blocks"][-1]["elements"][0]["value"]
        for request in slack.requests
    ]
    assert values == [",".join(f"{alert.pk}.{alert.episode}" for alert in alerts)] * 2


@pytest.mark.parametrize("value", ["", "x", "1", "1.1.1", ",", "9" * 30 + ".1", "1.x,.1", "-1.1"])
def test_buttons_with_unknown_alerts_change_nothing(
    client: Client, slack_app: Channel, value: str
) -> None:
    alert = make_alert(now=NOON)
    payload = {"user": {"id": "U1"}, "actions": [{"action_id": "resolve", "value": value}]}

    assert click(client, slack_app, payload, at=clock.time(), secret="s3cret").status_code == 200
    alert.refresh_from_db()
    assert alert.state == "open"


@pytest.fixture
def sms_of_team(sent_sms: Channel) -> Channel:
    """Make Ann a recipient of the SMS channel instead of a person on call.

    The portal merges related alerts in messages to the recipients of a channel.
    """
    sent_sms.people.set(Person.objects.all())
    sent_sms.config = {**sent_sms.config, "recipients": ""}
    sent_sms.save()
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.steps.all().delete()
    alert_type.channels.set([sent_sms])
    return sent_sms


@pytest.mark.parametrize(
    ("reply", "acknowledged"),
    [("ack", "ABC"), ("ACK {first}", "ABC"), ("ACK {second}", "B"), ("ack all", "ABC")],
)
def test_a_reply_to_a_message_about_several_alerts_acts_on_all_of_them_or_on_the_one_it_names(
    client: Client, sms_of_team: Channel, twilio: FakeHTTP, reply: str, acknowledged: str
) -> None:
    first, second, _ = make_related("A", "B", "C")
    deliver(NOON)
    (sent,) = bodies(twilio)
    assert sent["Body"].startswith("CRITICAL: A, and 2 related alerts")
    assert f"Reply ACK {first.pk} or RES {first.pk} for all 3" in sent["Body"]

    text = reply.format(first=first.pk, second=second.pk)
    answer = send_sms(client, sms_of_team, text, "+15550111").content.decode()

    assert {title for title, state in states().items() if state == "acknowledged"} == set(
        acknowledged
    )
    told = "Acknowledged 3 alerts: A; B; C" if acknowledged == "ABC" else "Acknowledged: B"
    assert told in answer


def test_the_portal_asks_for_a_number_if_a_reply_may_refer_to_several_messages(
    client: Client, sms_of_team: Channel
) -> None:
    first, *_ = make_related("A", "B")
    other = make_alert(title="Other", now=NOON)
    deliver(NOON)

    answer = send_sms(client, sms_of_team, "ack", "+15550111").content.decode()
    assert f"3 alerts are open. Reply ACK with a number, or ACK ALL. {other.pk} Other, " in answer
    assert f"{first.pk} A and 1 related" in answer
    assert set(states().values()) == {"open"}

    send_sms(client, sms_of_team, f"res {first.pk}", "+15550111")
    assert states() == {"A": "resolved", "B": "resolved", "Other": "open"}


def test_the_outcome_names_alerts_that_were_changed_unchanged_and_not_permitted(
    ann: Person,
) -> None:
    alerts = make_related("A", "B", "C", "D")
    services.resolve(alerts[2:], user=None, now=NOON)
    several = replies.act(alerts, replies.Action.RESOLVE, person=ann, way="by a link", now=NOON)
    again = replies.act(alerts[:1], replies.Action.RESOLVE, person=ann, way="by a link", now=NOON)

    assert several == "Resolved 2 alerts: A; B. Nothing to do for 2 alerts: C; D"
    assert again == "Already resolved: A"


def test_alerts_of_other_teams_are_skipped(ann: Person) -> None:
    shop, pay = make_app("shop"), make_app("pay")
    user = User.objects.create_user("ann", is_staff=True)
    Person.objects.update(user=user)
    team = Team.objects.create(name="Shop")
    team.apps.set([shop])
    team.people.set([ann])
    ann.refresh_from_db()
    mine = make_alert(title="Mine", labels={"app": shop.name}, now=NOON)
    theirs = make_alert(title="Theirs", labels={"app": pay.name}, now=NOON)

    text = replies.act(
        [mine, theirs], replies.Action.ACKNOWLEDGE, person=ann, way="in Slack", now=NOON
    )

    assert text == "Acknowledged: Mine. You are not allowed to act on 1 alert of other teams"
    assert states() == {"Mine": "acknowledged", "Theirs": "open"}
