"""The requests of each channel, as received by a fake provider on loopback."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import time, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from alerts import services
from alerts.channels import DeliveryFailed, Message, get_config, get_transport
from alerts.channels.base import MessageKind
from alerts.channels.sms import build_segment, count_characters, to_gsm7
from alerts.channels.webhook import sign
from alerts.models import AlertType, Channel, Notification, Person, Team
from alerts.services import run_test, send_test
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver, sent
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db

MESSAGE = Message(
    kind=MessageKind.TRIGGERED,
    title="Gate <north> is slow & sad",
    text="3,200 ms, above the threshold of 3,000 ms",
    severity="high",
    source="performance",
    url="https://ops.example/admin/alerts/7/",
    facts=[("Value", "3,200 ms"), ("gate", "north")],
    at=NOON,
    started_at=NOON - MINUTE,
    thread="opsportal:7:1",
    component="performance",
    group="slow-performance",
)

Make = Callable[..., Channel]


@pytest.fixture
def channel() -> Make:
    """Return a function that creates a channel and makes it the only one for alerts of the gauge."""

    def make(kind: str, **config: str) -> Channel:
        made, _ = Channel.objects.update_or_create(
            name=kind, defaults={"kind": kind, "config": config, "uses_environment": True}
        )
        AlertType.objects.get(slug="high-error-rate").channels.set([made])
        return made

    return make


def send(channel: Channel, message: Message = MESSAGE, key: str = "7:1:triggered:1:3") -> str:
    receipt = get_transport(channel).send(message, get_config(channel), idempotency_key=key)
    return receipt.reference


# --- PagerDuty ------------------------------------------------------------------------------------------


@pytest.fixture
def pagerduty(channel: Make, fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.PAGERDUTY_API_URL = fake.url
    channel("pagerduty", routing_key="R1")

    def enqueue(received: object) -> None:
        fake.answer(202, json={"status": "success", "dedup_key": "d"}, path="/v2/enqueue")

    fake.respond_with(enqueue)
    return fake


def test_trigger_acknowledge_and_resolve_belong_to_one_pagerduty_incident(
    gauge: Gauge, pagerduty: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    services.acknowledge([gauge.alert()], user=None, now=NOON + MINUTE)
    deliver(NOON + MINUTE)
    gauge.evaluate(0, now=NOON + 2 * MINUTE)
    deliver(NOON + 2 * MINUTE)

    events = [request.json() for request in pagerduty.requests]
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert {event["dedup_key"] for event in events} == {f"opsportal:{gauge.alert().pk}:1"}
    trigger = events[0]
    assert trigger["routing_key"] == "R1"
    assert trigger["payload"]["summary"] == "Test gauge"
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["timestamp"] == "2026-03-02T12:00:00+00:00"
    assert trigger["client"] == "opsportal"
    assert trigger["links"][0]["href"] == trigger["client_url"]
    assert "payload" not in events[1]


def test_pagerduty_gets_nothing_about_a_problem_resolved_before_delivery(
    gauge: Gauge, pagerduty: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)

    assert deliver(NOON + MINUTE) == {"superseded": 1}
    assert pagerduty.requests == []


def test_a_reopened_alert_keeps_its_pagerduty_incident_and_a_later_episode_has_a_new_one(
    gauge: Gauge, pagerduty: FakeHTTP
) -> None:
    for minute, value in enumerate([6, 0, 6, 0]):
        gauge.evaluate(value, now=NOON + minute * MINUTE)
        deliver(NOON + minute * MINUTE)
    gauge.evaluate(6, now=NOON + 60 * MINUTE)
    deliver(NOON + 60 * MINUTE)

    first, second = gauge.alerts()
    assert [request.json()["dedup_key"] for request in pagerduty.requests] == [
        *[f"opsportal:{first.pk}:1"] * 4,
        f"opsportal:{second.pk}:2",
    ]


def test_a_pagerduty_test_resolves_its_own_incident(pagerduty: FakeHTTP) -> None:
    run_test(send_test(Channel.objects.get(name="pagerduty"), now=NOON), now=NOON)
    deliver(NOON)

    trigger, end = [request.json() for request in pagerduty.requests]
    assert (trigger["event_action"], end["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == end["dedup_key"]


# --- SMS --------------------------------------------------------------------------------------------------


@pytest.fixture
def twilio(channel: Make, fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.TWILIO_API_URL = fake.url
    fake.default.status = 201
    fake.default.body = b'{"sid": "SM1", "status": "queued"}'
    channel(
        "sms",
        account_sid="AC1",
        auth_token="secret",
        sender="+15550001",
        recipients="+15550100, +15550101",
    )
    return fake


def test_a_failed_sms_is_retried_for_its_number_only(gauge: Gauge, twilio: FakeHTTP) -> None:
    twilio.answer(500)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    deliver(NOON + MINUTE)
    deliver(NOON + 2 * MINUTE)

    assert sorted(request.form()["To"] for request in twilio.requests) == [
        "+15550100",
        "+15550100",
        "+15550101",
    ]
    first = twilio.requests[0]
    assert first.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert first.headers["authorization"] == "Basic QUMxOnNlY3JldA=="
    assert first.form()["Body"].startswith("CRITICAL: Test gauge\n6 errors")
    assert [n.provider_reference for n in sent()] == ["SM1", "SM1"]


@pytest.mark.slow
@given(
    title=st.text(max_size=300),
    text=st.text(max_size=300),
    url=st.sampled_from(["", "https://ops.example/admin/alerts/123456/", "https://x/" + "y" * 200]),
)
def test_an_sms_is_always_one_gsm7_segment(title: str, text: str, url: str) -> None:
    message = Message(
        kind=MessageKind.TRIGGERED, title=title, text=text, url=url, severity="high", at=NOON
    )

    body = build_segment(message)

    assert count_characters(body) <= 160
    assert to_gsm7(body) == body


def test_characters_outside_gsm7_are_replaced_by_similar_ones() -> None:
    assert to_gsm7("Zoë — 5\u00a0€ … ≤ šč 中") == "Zoe - 5 € ... <= sc ?"


# --- webhook ------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_contains_all_fields(channel: Make, fake: FakeHTTP) -> None:
    send(channel("webhook", url=f"{fake.url}/in", secret="s3cret"))

    (request,) = fake.requests
    stamp = request.headers["x-opsportal-signature"].split(",")[0].removeprefix("t=")
    expected = hmac.new(b"s3cret", f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-opsportal-signature"] == f"t={stamp},v1={expected}"
    assert sign("s3cret", int(stamp), request.body).endswith(expected)
    assert request.headers["idempotency-key"] == request.json()["id"] == "7:1:triggered:1:3"
    assert request.json()["facts"] == {"Value": "3,200 ms", "gate": "north"}


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("telegram", {"token": "1:a", "chat_id": "1"}),
        ("pagerduty", {"routing_key": "r"}),
        ("sms", {"account_sid": "a", "auth_token": "t", "sender": "+15550100"}),
    ],
)
def test_an_address_of_a_service_is_trusted_only_from_the_settings(
    channel: Make, fake: FakeHTTP, settings: Settings, kind: str, config: dict[str, str]
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    for setting in ("TELEGRAM_API_URL", "PAGERDUTY_API_URL", "TWILIO_API_URL"):
        setattr(settings, setting, "https://service.example")
    made = channel(kind, api_url=fake.url, **config)

    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(made, msgspec.structs.replace(MESSAGE, recipients=["+15550101"]))

    assert fake.requests == []


@pytest.mark.parametrize("kind", ["webhook", "slack", "teams", "discord"])
def test_urls_entered_by_staff_cannot_reach_private_addresses(
    channel: Make, fake: FakeHTTP, settings: Settings, kind: str
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    url = f"{fake.url}/admin/"
    made = channel(kind, url=url, webhook_url=url, secret="s")

    with pytest.raises(DeliveryFailed, match="not a public address") as failure:
        send(made)

    assert not failure.value.is_permanent  # staff may allow the address or change it
    assert fake.requests == []


def test_a_slack_url_from_the_settings_is_trusted(
    channel: Make, fake: FakeHTTP, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    settings.SLACK_WEBHOOK_URL = f"{fake.url}/hook"

    send(channel("slack"))

    assert len(fake.requests) == 1


# --- Teams, Discord, Telegram -----------------------------------------------------------------------------------


def test_teams_gets_an_adaptive_card(channel: Make, fake: FakeHTTP) -> None:
    fake.default.status = 202
    send(channel("teams", webhook_url=f"{fake.url}/flow"))

    body = fake.requests[0].json()
    content = body["attachments"][0]["content"]
    assert (body["type"], content["type"], content["version"]) == ("message", "AdaptiveCard", "1.4")
    assert content["body"][1]["text"] == "Gate <north> is slow & sad"
    assert content["actions"][0]["url"] == MESSAGE.url


def test_discord_gets_an_embed_without_mentions(channel: Make, fake: FakeHTTP) -> None:
    fake.answer(200, json={"id": "99"})
    reference = send(channel("discord", webhook_url=f"{fake.url}/api/webhooks/1/x"))

    (request,) = fake.requests
    assert (request.query, reference) == ("wait=true", "99")
    assert request.json()["allowed_mentions"] == {"parse": []}
    (embed,) = request.json()["embeds"]
    assert embed["title"] == "🔶 Gate <north> is slow & sad"
    assert embed["fields"][1] == {"name": "gate", "value": "north", "inline": True}


def test_telegram_gets_escaped_html(channel: Make, fake: FakeHTTP, settings: Settings) -> None:
    settings.TELEGRAM_API_URL = fake.url
    fake.answer(200, json={"ok": True, "result": {"message_id": 5}})

    reference = send(channel("telegram", token="1:abc", chat_id="-100"))

    (request,) = fake.requests
    assert (request.path, reference) == ("/bot1:abc/sendMessage", "5")
    assert "<b>🔶 Gate &lt;north&gt; is slow &amp; sad</b>" in request.json()["text"]


def test_telegram_reports_retry_after_in_the_body(
    channel: Make, fake: FakeHTTP, settings: Settings
) -> None:
    settings.TELEGRAM_API_URL = fake.url
    fake.answer(429, json={"ok": False, "parameters": {"retry_after": 17}})

    with pytest.raises(DeliveryFailed) as failure:
        send(channel("telegram", token="1:abc", chat_id="-100"))

    assert (failure.value.retry_after, failure.value.is_permanent) == (17, False)


def test_a_token_never_appears_in_a_stored_error(
    gauge: Gauge, channel: Make, fake: FakeHTTP, settings: Settings
) -> None:
    settings.TELEGRAM_API_URL = fake.url
    channel("telegram", token="1:very-secret", chat_id="-100")
    fake.refuse()
    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    notification = Notification.objects.get()
    assert notification.error
    assert "very-secret" not in notification.error


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "webhook"])
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_invalid_address_is_reported_as_gone(
    channel: Make, fake: FakeHTTP, kind: str, status: int
) -> None:
    fake.answer(status)

    with pytest.raises(DeliveryFailed) as failure:
        send(channel(kind, url=fake.url, webhook_url=fake.url, secret="s"))

    assert (failure.value.is_permanent, failure.value.is_gone) == (False, True)


# --- Resend -------------------------------------------------------------------------------------------------------


@pytest.fixture
def resend(channel: Make, fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.EMAIL_BACKEND = "alerts.channels.resend.EmailBackend"
    settings.ANYMAIL = {"RESEND_API_KEY": "re_1", "RESEND_API_URL": f"{fake.url}/"}
    fake.default.body = b'{"id": "mail-1"}'
    channel("email", recipients="ops@example.com")
    return fake


def test_a_retry_has_the_same_idempotency_key_and_a_resend_a_new_one(
    gauge: Gauge, resend: FakeHTTP
) -> None:
    resend.drop()  # the e-mail may have been accepted before the connection was dropped
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    deliver(NOON + MINUTE)

    first, second = resend.requests
    assert first.path == "/emails"
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["idempotency-key"].startswith(f"{gauge.alert().pk}:1:triggered:1:")
    assert first.body == second.body
    (notification,) = sent()
    assert notification.provider_reference == "mail-1"

    services.resend(notification, now=NOON + 2 * MINUTE)
    deliver(NOON + 2 * MINUTE)
    assert resend.requests[2].headers["idempotency-key"] != first.headers["idempotency-key"]


@pytest.mark.parametrize(("status", "state"), [(500, "waiting"), (429, "waiting"), (422, "failed")])
def test_resend_errors_are_permanent_or_temporary(
    gauge: Gauge, resend: FakeHTTP, status: int, state: str
) -> None:
    resend.answer(status, json={"message": "no"})
    gauge.evaluate(6, now=NOON)

    deliver(NOON)

    assert Notification.objects.get().state == state


# --- people ---------------------------------------------------------------------------------------------------------


def test_people_in_several_teams_are_notified_once(gauge: Gauge, twilio: FakeHTTP) -> None:
    channel = Channel.objects.get(name="sms")
    anna = Person.objects.create(name="Anna", phone="+15550200")
    away = Person.objects.create(name="Away", phone="+15550201", is_active=False)
    silent = Person.objects.create(name="No phone")
    team = Team.objects.create(name="Night shift")
    team.people.set([anna, away, silent])
    channel.teams.set([team])
    channel.people.set([anna])

    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    numbers = sorted(request.form()["To"] for request in twilio.requests)
    assert numbers == ["+15550100", "+15550101", "+15550200"]


def test_quiet_hours_delay_all_but_critical_messages(gauge: Gauge, twilio: FakeHTTP) -> None:
    channel = Channel.objects.get(name="sms")
    channel.config["recipients"] = ""
    channel.save()
    bo = Person.objects.create(
        name="Bo",
        phone="+15550300",
        time_zone="Europe/Berlin",
        quiet_from=time(22),
        quiet_until=time(7),
    )
    channel.people.set([bo])
    night = NOON + timedelta(hours=11)  # midnight in Berlin
    gauge.row(severity="warning", critical_threshold=100)

    gauge.evaluate(6, now=night)
    deliver(night)
    assert twilio.requests == []
    gauge.evaluate(101, now=night + MINUTE)
    deliver(night + MINUTE)

    assert [n.kind for n in sent()] == ["raised"]


def test_an_alert_resolved_during_quiet_hours_is_one_message_afterwards(
    gauge: Gauge, channel: Make, mail: MailServer
) -> None:
    made = channel("email", recipients="ops@example.com")
    sleeper = Person.objects.create(
        name="Bo",
        email="bo@example.com",
        time_zone="Europe/Berlin",
        quiet_from=time(22),
        quiet_until=time(7),
    )
    made.people.set([sleeper])
    gauge.row(severity="warning")
    night = NOON + timedelta(hours=11)  # midnight in Berlin

    gauge.evaluate(6, now=night)
    deliver(night)
    gauge.evaluate(0, now=night + 4 * MINUTE)
    deliver(night + 4 * MINUTE)
    assert {mail["To"] for mail in mail.mails} == {"ops@example.com"}
    deliver(night + timedelta(hours=7))

    (for_bo,) = [mail for mail in mail.mails if mail["To"] == "bo@example.com"]
    assert for_bo["Subject"] == "[resolved after 4 min] Test gauge"
