"""Test delivery through apprise to simulated services on loopback, and the limits that the portal sets for apprise."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from alerts.channels import DeliveryFailed, apprise
from alerts.channels.base import MessageKind
from alerts.models import Channel, Notification
from tests.alerts.conftest import MESSAGE, NOON, Gauge, Make, deliver, send
from tests.servers.fake_http import Answer, FakeHTTP, Received

pytestmark = pytest.mark.django_db
TITLE = "[high] Gate <north> is slow & sad"


def text_of(received: Received) -> str:
    """Return the whole JSON or form body without escapes, because the names of the fields differ between services."""
    try:
        content = json.loads(received.body)
    except ValueError:
        return str(received.form()) if b"=" in received.body else received.body.decode()
    return json.dumps(content, ensure_ascii=False)


def ntfy(received: Received) -> Answer:
    body = received.json()
    is_right = (received.method, received.path, body["topic"]) == ("POST", "/", "alerts-topic")
    return Answer(200 if is_right and body["title"] == TITLE else 400, b'{"id": "1"}')


def gotify(received: Received) -> Answer:
    key = received.headers.get("x-gotify-key")
    is_right = (
        received.path == "/message" and key == "token-12345" and received.json()["title"] == TITLE
    )
    return Answer(200 if is_right else 401, b'{"id": 25}')


def matrix(received: Received) -> Answer:
    path = received.path.removeprefix("/_matrix/client/")
    if path.endswith("/login"):
        if received.json().get("password") != "secret-pw":
            return Answer(403, b'{"errcode": "M_FORBIDDEN"}')
        return Answer(200, b'{"access_token": "t-1", "home_server": "h", "user_id": "@ops:h"}')
    if received.headers.get("authorization") != "Bearer t-1":
        return Answer(401, b'{"errcode": "M_UNKNOWN_TOKEN"}')
    if "/join/" in path or path.endswith("/join"):
        return Answer(200, b'{"room_id": "!room:h"}')
    if "/send/m.room.message" in path:
        return Answer(200, b'{"event_id": "$1"}')
    return Answer(200, b"{}")


def mattermost(received: Received) -> Answer:
    return Answer(200 if received.path == "/hooks/hook-token-1" else 404, b"ok")


def rocketchat(received: Received) -> Answer:
    match received.path:
        case "/api/v1/login":
            return Answer(
                200, b'{"status": "success", "data": {"authToken": "a-1", "userId": "u-1"}}'
            )
        case "/api/v1/chat.postMessage" if received.headers.get("x-auth-token") == "a-1":
            return Answer(200, b'{"success": true}')
        case "/api/v1/logout":
            return Answer(200, b'{"status": "success"}')
    return Answer(401)


def signal(received: Received) -> Answer:
    body = received.json()
    is_right = (received.path, body["number"]) == ("/v2/send", "+15551230001")
    return Answer(201 if is_right and body["recipients"] == ["+15551230002"] else 400, b"{}")


def nextcloud_talk(received: Received) -> Answer:
    expected = base64.b64encode(b"ops:secret-pw").decode()
    is_right = received.headers.get("authorization") == f"Basic {expected}"
    is_right &= received.path.endswith("/apps/spreed/api/v1/chat/room-7")
    return Answer(201 if is_right else 401, b"{}")


def home_assistant(received: Received) -> Answer:
    is_right = received.headers.get("authorization") == "Bearer long-lived-token"
    is_right &= received.path.startswith("/api/services/")
    return Answer(200 if is_right else 401, b"[]")


def bark(received: Received) -> Answer:
    body = received.json()
    is_right = received.path == "/push" and body["device_key"] == "devicekey1"
    return Answer(200 if is_right else 400, b'{"code": 200, "message": "success"}')


def synology_chat(received: Received) -> Answer:
    is_right = received.path == "/webapi/entry.cgi" and "token=token-123" in received.query
    return Answer(200 if is_right else 401, b'{"success": true}')


SERVICES: dict[str, tuple[str, Callable[[Received], Answer]]] = {
    "ntfy": ("ntfy://{address}/alerts-topic", ntfy),
    "Gotify": ("gotify://{address}/token-12345", gotify),
    "Matrix": ("matrix://ops:secret-pw@{address}/!room:h", matrix),
    "Mattermost": ("mmost://{address}/hook-token-1", mattermost),
    "Rocket.Chat": ("rocket://ops:secret-pw@{address}/#alerts", rocketchat),
    "Signal": ("signal://{address}/+15551230001/+15551230002", signal),
    "Nextcloud Talk": ("nctalk://ops:secret-pw@{address}/room-7", nextcloud_talk),
    "Home Assistant": ("hassio://{address}/long-lived-token", home_assistant),
    "Bark": ("bark://{address}/devicekey1", bark),
    "Synology Chat": ("synology://{address}/token-123", synology_chat),
}


def url_for(fake: FakeHTTP, template: str) -> str:
    return template.format(address=fake.url.removeprefix("http://"))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_the_message_in_its_own_protocol(
    channel: Make, fake: FakeHTTP, service: str
) -> None:
    template, respond = SERVICES[service]
    fake.respond_with(respond)

    send(channel("apprise", url=url_for(fake, template)))

    shown = " ".join(text_of(received) for received in fake.requests)
    assert "is slow" in shown
    # Compare only the path, because some services escape the host's dots for Markdown.
    assert "/admin/alerts/7/" in shown


def test_a_resolution_is_sent_as_a_success(channel: Make, fake: FakeHTTP) -> None:
    resolved = msgspec.structs.replace(MESSAGE, kind=MessageKind.RESOLVED)
    send(channel("apprise", url=url_for(fake, "json://{address}/hook")), resolved)
    [received] = fake.requests
    assert received.json()["type"] == "success"


@pytest.mark.parametrize(
    ("status", "permanent", "gone"),
    [
        (401, False, True),
        (404, False, True),
        (422, True, False),
        (429, False, False),
        (503, False, False),
    ],
)
def test_the_providers_answer_determines_if_the_message_is_retried(
    channel: Make, fake: FakeHTTP, status: int, permanent: bool, gone: bool
) -> None:
    fake.answer(status, times=None)
    with pytest.raises(DeliveryFailed) as failure:
        send(channel("apprise", url=url_for(fake, "gotify://{address}/token-12345")))
    assert (failure.value.is_permanent, failure.value.is_gone) == (permanent, gone)


# --- limits of apprise -----------------------------------------------------------------------------


def test_a_private_address_is_refused(channel: Make, fake: FakeHTTP, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    made = channel("apprise", url=url_for(fake, "json://{address}/hook"))
    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(made)
    assert fake.requests == []


def test_a_redirect_to_a_private_address_is_refused(channel: Make, fake: FakeHTTP) -> None:
    fake.answer(307, headers={"Location": "http://10.0.0.1/secret"})
    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(channel("apprise", url=url_for(fake, "json://{address}/hook")))


@pytest.mark.parametrize("scheme", ["mqtt", "rsyslog", "mailto", "syslog"])
def test_services_that_bypass_the_proxy_cannot_connect(
    channel: Make, fake: FakeHTTP, scheme: str
) -> None:
    made = channel("apprise", url=url_for(fake, f"{scheme}://user:pass@{{address}}/topic"))
    with pytest.raises(DeliveryFailed):
        send(made)
    assert fake.requests == []


def test_an_unreachable_service_is_retried(channel: Make, fake: FakeHTTP) -> None:
    made = channel("apprise", url=url_for(fake, "json://{address}/hook"))
    fake.refuse()
    with pytest.raises(DeliveryFailed, match="unreachable") as failure:
        send(made)
    assert (failure.value.is_permanent, failure.value.is_gone) == (False, False)


def test_a_hanging_service_is_aborted(
    channel: Make, fake: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*args: object, **kwargs: object) -> None:
        raise subprocess.TimeoutExpired("apprise", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(DeliveryFailed, match="no answer within"):
        send(channel("apprise", url=url_for(fake, "json://{address}/hook")))


def test_a_token_appears_in_no_error_and_no_log(
    gauge: Gauge, channel: Make, fake: FakeHTTP, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answer(500, body="unknown token very-secret-token", times=None)
    channel("apprise", url=url_for(fake, "json://u:very-secret-token@{address}/very-secret-token"))
    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    notification = Notification.objects.get()
    assert notification.error
    assert "very-secret" not in notification.error + caplog.text


def test_the_url_is_encrypted_in_the_database(channel: Make) -> None:
    channel("apprise", url="ntfys://very-secret-token@ntfy.example.com/topic")
    with connection.cursor() as cursor:
        cursor.execute("SELECT config FROM alerts_channel WHERE kind = 'apprise'")
        assert "very-secret" not in str(cursor.fetchone()[0])


def test_the_program_that_runs_apprise_imports_no_code_of_the_portal() -> None:
    source = Path(apprise.__file__).with_name("apprise_process.py").read_text()
    assert "django" not in source
    assert "from core" not in source


# --- the form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("bogus://service/token", "apprise does not support this URL"),
        ("ntfy://10.0.0.1/topic", "not a public address"),
        ("ntfy://127.0.0.1/topic", ""),
    ],
)
def test_the_form_refuses_urls_that_cannot_work(
    admin_client: Client, url: str, problem: str
) -> None:
    page = admin_client.post(
        "/admin/alerts/channel/add/?kind=apprise",
        {
            "name": "Phone",
            "is_enabled": "on",
            "max_per_minute": 30,
            "setting_url": url,
            "time_zone": "UTC",
        },
    )
    if problem:
        assert problem in page.content.decode()
    else:
        assert page.status_code == 302, page.context["errors"]
        assert Channel.objects.get(kind="apprise").config == {"url": url}
