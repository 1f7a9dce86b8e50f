"""On call: escalation to people, their notification rules, and what they answer."""

import hashlib
import hmac
import json
import time as clock
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alerts import services, signed_links
from alerts.channels import twilio
from alerts.models import (
    AlertType,
    Channel,
    EscalationStep,
    Notification,
    NotificationRule,
    Person,
    Rotation,
    RotationMember,
    Schedule,
    ScheduleOverride,
    SystemAlert,
    Team,
)
from alerts.queries.on_call import load_schedules, on_call_now
from alerts.tasks import answer_in_slack
from core.clients import services as clients
from core.clients.models import Scope
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.factories import make_alert, make_app
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def ann() -> Person:
    return Person.objects.create(name="Ann", email="ann@shop.example", phone="+15550111")


@pytest.fixture
def bob() -> Person:
    return Person.objects.create(name="Bob", email="bob@shop.example", phone="+15550222")


def make_schedule(*people: Person, name: str = "Primary", **fields: Any) -> Schedule:
    schedule, _ = Schedule.objects.get_or_create(name=name)
    given = {"name": "All", "unit": "day", "first_day": date(2026, 3, 1), "handover_at": time(9)}
    rotation = Rotation.objects.create(schedule=schedule, **{**given, **fields})
    for place, person in enumerate(people, 1):
        RotationMember.objects.create(rotation=rotation, person=person, position=place)
    return schedule


def make_step(minutes: int = 0, **targets: Any) -> EscalationStep:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    step = EscalationStep.objects.create(alert_type=alert_type, after=minutes * MINUTE)
    for name, rows in targets.items():
        getattr(step, name).set(rows)
    return step


def no_other_steps() -> None:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.steps.all().delete()
    alert_type.channels.clear()


@pytest.fixture
def voice(fake_http: Any, settings: Settings, twilio: FakeHTTP) -> Channel:
    no_other_steps()
    return Channel.objects.create(
        name="voice",
        kind="voice",
        config={"account_sid": "AC1", "auth_token": "secret", "sender": "+15550001"},
        uses_environment=True,
    )


def make_rule(person: Person, minutes: int, channel: Channel) -> NotificationRule:
    return NotificationRule.objects.create(person=person, after=minutes * MINUTE, channel=channel)


def bodies(server: FakeHTTP) -> list[dict[str, str]]:
    return [
        {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        for request in server.requests
    ]


def paged() -> list[tuple[str, str, float]]:
    rows = Notification.objects.filter(kind="paged").order_by("pk")
    return [(r.channel.name, r.state, (r.due_at - NOON) / MINUTE) for r in rows]


@pytest.fixture
def three_ways(ann: Person, voice: Channel, slack: FakeHTTP) -> Person:
    """Ann is on call, and is notified by Slack now, by SMS after 3 min, and by phone after 10 min."""
    make_step(schedules=[make_schedule(ann)])
    for minutes, name in ((0, "slack"), (3, "sms"), (10, "voice")):
        make_rule(ann, minutes, Channel.objects.get(name=name))
    return ann


# --- notification rules ---------------------------------------------------------------------------------


def test_a_person_is_notified_by_the_persons_own_rules(
    three_ways: Person, slack: FakeHTTP, twilio: FakeHTTP
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)
    assert (len(slack.requests), len(twilio.requests)) == (1, 0)
    assert paged() == [("slack", "sent", 0), ("sms", "waiting", 3), ("voice", "waiting", 10)]

    deliver(NOON + 3 * MINUTE)
    deliver(NOON + 10 * MINUTE)

    message, call = bodies(twilio)
    assert message["To"] == call["To"] == "+15550111"
    assert message["Body"].startswith("CRITICAL: Problem")
    assert signed_links.build_url(alert, three_ways) in message["Body"]
    assert len(message["Body"]) <= 160
    assert "Press 1 to acknowledge" in call["Twiml"]
    assert [r.path for r in twilio.requests][1].endswith("/Accounts/AC1/Calls.json")
    alert.refresh_from_db()
    assert alert.is_announced


@pytest.mark.parametrize("action", ["acknowledge", "dismiss", "resolve"])
def test_an_alert_in_hand_stops_the_later_rules(
    three_ways: Person, twilio: FakeHTTP, slack: FakeHTTP, action: str
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)

    alert.refresh_from_db()
    getattr(services, action)([alert], user=None, now=NOON + MINUTE)
    for minute in (3, 10, 60):
        deliver(NOON + minute * MINUTE)

    assert twilio.requests == []
    assert [state for _, state, _ in paged()] == ["sent", "superseded", "superseded"]
    assert len(slack.requests) == (2 if action == "resolve" else 1)  # only Slack knew of it


def test_an_undone_acknowledgment_continues_the_rules(
    three_ways: Person, twilio: FakeHTTP, admin_user: Any
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    batch = uuid.uuid4()
    alert.refresh_from_db()
    services.acknowledge([alert], user=admin_user, now=NOON + MINUTE, batch=batch)
    services.undo(batch, user=admin_user, now=NOON + 2 * MINUTE)

    deliver(NOON + 3 * MINUTE)

    assert len(twilio.requests) == 1


def test_a_repeated_step_does_not_repeat_what_still_waits(three_ways: Person) -> None:
    make_alert(now=NOON)
    for minute in range(3):
        services.follow_up(now=NOON + minute * MINUTE)

    waiting = Notification.objects.filter(kind="paged", channel__kind="voice")
    assert waiting.count() == 1


def test_a_person_without_rules_gets_an_e_mail_and_a_text_message(
    ann: Person, voice: Channel
) -> None:
    Channel.objects.filter(name="email").update(config={"recipients": "ops@shop.example"})
    make_step(people=[ann])
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert [name for name, _, _ in paged()] == ["email", "sms"]


def test_quiet_hours_delay_all_but_critical_messages(ann: Person, voice: Channel) -> None:
    Person.objects.update(quiet_from=time(11), quiet_until=time(13))
    make_step(people=[ann])
    make_rule(ann, 0, Channel.objects.get(name="sms"))
    make_alert(now=NOON, severity="high")
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert [due for _, _, due in paged()] == [60, 0]


# --- escalation steps ------------------------------------------------------------------------------------


def test_steps_name_schedules_teams_and_people(ann: Person, bob: Person, voice: Channel) -> None:
    team = Team.objects.create(name="Owners")
    team.people.set([ann, bob])
    make_step(0, schedules=[make_schedule(bob)])
    make_step(10, teams=[team])
    Person.objects.create(name="Gone", phone="+15550333", is_active=False)
    make_alert(now=NOON)

    services.follow_up(now=NOON)
    deliver(NOON)
    services.follow_up(now=NOON + 10 * MINUTE)

    rows = Notification.objects.filter(kind="paged", channel__kind="sms").order_by("pk")
    found = [(row.payload["recipients"], row.payload["title"][:10]) for row in rows]
    assert found == [
        (["+15550222"], "Problem " + found[0][1][8:]),
        (["+15550111"], "Escalated:"),
        (["+15550222"], "Escalated:"),
    ]


def test_a_gap_in_the_schedule_is_followed_by_the_next_step_at_once(
    ann: Person, bob: Person, voice: Channel
) -> None:
    nobody = make_schedule(bob, name="Later", first_day=date(2030, 1, 1))
    make_step(0, schedules=[nobody])
    make_step(30, people=[ann])
    alert = make_alert(now=NOON)

    services.follow_up(now=NOON)

    row = Notification.objects.get(kind="paged", channel__kind="sms")
    assert row.payload["recipients"] == ["+15550111"]
    assert alert.events.filter(text__contains="step 1 reaches no one").exists()


def test_an_override_changes_who_is_notified(ann: Person, bob: Person, voice: Channel) -> None:
    schedule = make_schedule(ann)
    make_step(0, schedules=[schedule])
    ScheduleOverride.objects.create(
        schedule=schedule, person=bob, starts_at=NOON - MINUTE, ends_at=NOON + MINUTE
    )
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert Notification.objects.get(kind="paged", channel__kind="sms").payload["recipients"] == [
        "+15550222"
    ]


# --- links -------------------------------------------------------------------------------------------------


def test_a_link_shows_the_alert_and_acts_on_post_only(client: Client, ann: Person) -> None:
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
    assert "it is already acknowledged" in again
    assert client.post(url, {"action": "delete"}).status_code == 400
    client.post(url, {"action": "resolve"})
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_forged_link_is_a_404(client: Client, ann: Person) -> None:
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


def test_the_signature_is_the_one_of_twilios_documentation() -> None:
    """https://www.twilio.com/docs/usage/security has this example."""
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
    """Ann got text messages about two alerts."""
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


def test_of_several_alerts_the_reply_names_one_or_all(
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

    assert "gets no alerts" in send_sms(client, sent_sms, "ACK", "+15559999").content.decode()
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
def test_a_key_pressed_in_a_call_acts(
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


# --- API and calendar ------------------------------------------------------------------------------------------


def call(client: Client, method: str, path: str, body: object = None) -> Any:
    app = make_app()
    _, key = clients.issue_api_key(app=app, label="x", scopes=[Scope.ON_CALL])
    return client.generic(
        method,
        path,
        json.dumps(body) if body is not None else b"",
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_the_api_says_who_is_on_call(client: Client, ann: Person, bob: Person) -> None:
    schedule = make_schedule(ann, bob)
    make_schedule(ann, name="Later", first_day=date(2090, 1, 1))

    path = "/api/v1/on-call/?at=2026-03-02T08:59:00Z"
    later, primary = call(client, "GET", path).json()["on_call"]
    assert (later["schedule"], later["person"], later["until"]) == ("Later", None, None)
    assert primary == {
        "id": schedule.pk,
        "schedule": "Primary",
        "person": {"id": ann.pk, "name": "Ann", "email": "ann@shop.example"},
        "until": "2026-03-02T09:00:00Z",
    }
    only = call(client, "GET", f"{path}&schedule=Primary").json()["on_call"]
    assert [one["schedule"] for one in only] == ["Primary"]
    assert call(client, "GET", "/api/v1/on-call/?schedule=x").status_code == 404
    assert call(client, "GET", "/api/v1/on-call/?at=noon").status_code == 422
    assert call(client, "GET", "/api/v1/on-call/?at=2026-13-02T08:59:00Z").status_code == 422


def test_the_api_lists_shifts_and_takes_overrides(client: Client, ann: Person, bob: Person) -> None:
    schedule = make_schedule(ann, bob)
    base = f"/api/v1/on-call/{schedule.pk}"
    period = "?from=2026-03-02T00:00:00%2B00:00&until=2026-03-04T00:00:00Z"
    override = {
        "person": bob.pk,
        "starts_at": "2126-03-02T10:00:00Z",
        "ends_at": "2126-03-02T12:00:00+01:00",
        "instead_of": ann.pk,
        "comment": "dentist",
    }

    shifts = call(client, "GET", f"{base}/shifts/{period}").json()["shifts"]
    assert [(s["starts_at"][5:13], s["person"]["name"]) for s in shifts] == [
        ("03-02T00", "Ann"),
        ("03-02T09", "Bob"),
        ("03-03T09", "Ann"),
    ]
    created = call(client, "POST", f"{base}/overrides/", override)
    assert created.status_code == 201
    (listed,) = call(client, "GET", f"{base}/overrides/").json()["overrides"]
    assert (listed["person"]["name"], listed["instead_of"]["name"]) == ("Bob", "Ann")
    one = f"{base}/overrides/{created.json()['id']}/"
    assert call(client, "DELETE", one).status_code == 204
    assert call(client, "DELETE", one).status_code == 404
    for wrong in (
        {"person": 0},
        {"ends_at": "2126-03-02T10:00:00Z"},
        {"starts_at": "2126-03-02T10:00:00"},
        {"instead_of": bob.pk},
        {"until": 1},
    ):
        refused = call(client, "POST", f"{base}/overrides/", {**override, **wrong})
        assert refused.status_code == 422, wrong
    long = "?from=2026-01-01T00:00:00Z&until=2028-01-01T00:00:00Z"
    assert call(client, "GET", f"{base}/shifts/{long}").status_code == 422
    assert call(client, "GET", "/api/v1/on-call/0/shifts/").status_code == 404


def test_the_calendar_has_a_secret_address_that_can_be_replaced(
    client: Client, admin_client: Client, ann: Person, bob: Person
) -> None:
    schedule = make_schedule(ann, bob)
    url = "/on-call/" + signed_links.build_feed_url(schedule).rpartition("/")[2]

    answer = client.get(url)
    assert answer["Content-Type"].startswith("text/calendar")
    text = answer.content.decode().replace("\r\n ", "")
    assert text.count("SUMMARY:Ann is on call (Primary)") > 20
    own = client.get(f"{url}?person={bob.pk}").content.decode()
    assert "Bob is on call" in own
    assert "Ann is on call" not in own
    assert client.get(url.replace(".ics", "x.ics")).status_code == 404
    admin_client.post(reverse("alerts:on-call-feed-renew", args=[schedule.pk]))
    assert client.get(url).status_code == 404


# --- pages -------------------------------------------------------------------------------------------------------


def test_the_pages_show_the_coming_weeks_and_take_overrides(
    admin_client: Client, ann: Person, bob: Person
) -> None:
    schedule = make_schedule(
        ann, bob, time_zone="Europe/Berlin", on_from=time(9), on_until=time(17)
    )
    schedule.time_zone = "Europe/Berlin"
    schedule.save()
    url = reverse("alerts:on-call-schedule", args=[schedule.pk])

    page = admin_client.get(url).content.decode()
    assert "daily, at 09:00 (Europe/Berlin); 09:00 to 17:00" in page
    assert "Nobody is on call" in page
    assert "Primary" in admin_client.get(reverse("alerts:on-call")).content.decode()
    form = {"person": bob.pk, "starts_at": "2126-07-01T08:00", "ends_at": "2126-07-02T08:00"}
    added = admin_client.post(f"{url}override/", form)
    assert added.status_code == 302
    override = ScheduleOverride.objects.get()
    assert override.starts_at == datetime(2126, 7, 1, 6, tzinfo=UTC)
    assert override.created_by is not None
    wrong = admin_client.post(f"{url}override/", {**form, "ends_at": "2126-07-01T07:00"})
    assert wrong.status_code == 422
    assert "The end must be after the start" in wrong.content.decode()
    prefilled = admin_client.get(f"{url}?starts_at=2126-07-01T06:00:00%2B00:00&ends_at=bogus")
    assert 'value="2126-07-01T08:00"' in prefilled.content.decode()


def test_who_is_on_call_stands_in_the_headline_of_the_health_page(
    admin_client: Client, ann: Person
) -> None:
    make_schedule(ann)

    page = admin_client.get("/admin/system-health/widgets/health.verdict/").content.decode()

    assert "On call" in page
    assert "Ann" in page


def test_forms_of_rotations_steps_and_rules_are_saved(admin_client: Client, ann: Person) -> None:
    schedule = Schedule.objects.create(name="Primary")
    form = {
        "schedule": schedule.pk,
        "name": "Week",
        "position": 1,
        "every": 1,
        "unit": "week",
        "first_day": "2026-03-02",
        "handover_at": "09:00",
        "time_zone": "UTC",
        "weekdays": [1, 2],
        "members-TOTAL_FORMS": 1,
        "members-INITIAL_FORMS": 0,
        "members-0-person": ann.pk,
        "members-0-position": 1,
    }
    saved = admin_client.post(reverse("admin:alerts_rotation_add"), form)
    assert saved.status_code == 302, saved.context["errors"]
    assert Rotation.objects.get().weekdays == [1, 2]
    assert Rotation.objects.get().hours_text == "Monday, Tuesday"
    (one,) = on_call_now(load_schedules(), now=datetime(2026, 3, 3, tzinfo=UTC))
    assert one.person == ann

    alert_type = AlertType.objects.get(slug="high-error-rate")
    url = reverse("admin:alerts_alerttype_change", args=[alert_type.pk])
    alert_type.steps.all().delete()
    base = {
        "slug": alert_type.slug,
        "name": "Errors",
        "severity": "critical",
        "steps-TOTAL_FORMS": 1,
        "steps-INITIAL_FORMS": 0,
        "steps-0-after": "0 min",
    }
    empty = admin_client.post(url, base)
    assert "Choose a schedule, a person, a team or a channel." in empty.content.decode()
    assert admin_client.post(url, {**base, "steps-0-schedules": [schedule.pk]}).status_code == 302
    assert EscalationStep.objects.get(alert_type=alert_type).schedules.get() == schedule

    url = reverse("admin:alerts_person_change", args=[ann.pk])
    rule = {
        "name": "Ann",
        "time_zone": "UTC",
        "is_active": "on",
        "notification_rules-TOTAL_FORMS": 1,
        "notification_rules-INITIAL_FORMS": 0,
        "notification_rules-0-after": "3 min",
        "notification_rules-0-channel": Channel.objects.get(name="sms").pk,
    }
    assert admin_client.post(url, rule).status_code == 302
    assert NotificationRule.objects.get().after == 3 * MINUTE
