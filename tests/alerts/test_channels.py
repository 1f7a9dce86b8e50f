"""Test the requests of each channel, as received by a fake provider on loopback."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from alerts import services
from alerts.channels import DeliveryFailed, Message
from alerts.channels.base import MessageKind
from alerts.channels.sms import build_segment, count_characters, to_gsm7
from alerts.channels.webhook import sign
from alerts.models import Channel, Notification
from alerts.services import run_test, send_test
from tests.alerts.conftest import MESSAGE, MINUTE, NOON, Gauge, Make, deliver, send, sent
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db

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


def test_pagerduty_gets_no_event_about_a_problem_resolved_before_delivery(
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


@pytest.mark.parametrize("length", [156, 157, 158, 200])
def test_the_link_in_a_personal_sms_is_complete_even_if_it_leaves_no_room(length: int) -> None:
    url = "https://portal.example/".ljust(length, "a")
    message = Message(
        kind=MessageKind.PAGED, title="Checkout down", action_url=url, severity="high", at=NOON
    )

    body = build_segment(message)

    assert body.endswith(f"\n{url}")
    assert len(body) <= max(160, length + 1)


@pytest.mark.parametrize(("length", "has_hint"), [(100, True), (150, False)])
def test_a_personal_sms_leaves_out_the_reply_instructions_if_only_the_link_fits(
    length: int, has_hint: bool
) -> None:
    url = "https://portal.example/".ljust(length, "a")
    message = Message(
        kind=MessageKind.PAGED,
        title="Down",
        action_url=url,
        alert_ref="17.1",
        severity="high",
        at=NOON,
    )

    body = build_segment(message, accepts_replies=True)

    assert ("Reply ACK 17" in body) == has_hint
    assert body.endswith(f"\n{url}")
    assert len(body) <= 160


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


# --- Resend -------------------------------------------------------------------------------------------------------


@pytest.fixture
def resend(channel: Make, fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.EMAIL_BACKEND = "alerts.channels.resend.EmailBackend"
    settings.ANYMAIL = {"RESEND_API_KEY": "re_1", "RESEND_API_URL": f"{fake.url}/"}
    fake.default.body = b'{"id": "mail-1"}'
    channel("email", recipients="ops@example.com")
    return fake


def test_a_retry_has_the_same_idempotency_key_and_a_resend_has_a_new_one(
    gauge: Gauge, resend: FakeHTTP
) -> None:
    # Resend may have accepted the e-mail before the connection was dropped, so the retry must have the same key.
    resend.drop()
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
