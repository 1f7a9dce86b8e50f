"""Test that webhooks can subscribe to the status page, and that calls are signed and repeated after failures."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from health.models import Incident, IncidentState, IncidentUpdate, StatusMail, Subscriber
from health.services import status_messages, subscribers
from tests.factories import make_component
from tests.servers.fake_http import FakeHTTP, Received

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SUBSCRIBE = "/status/subscribe/webhook/"


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]


def subscribe(client: Client, url: str) -> str:
    page = client.post(SUBSCRIBE, {"url": url}).content.decode()
    found = re.search(r'<code class="wrap">([^<]+)</code>', page)
    assert found
    return found[1]


def call_all(now: datetime | None = None) -> dict[str, int]:
    now = now or timezone.now()
    subscribers.queue_updates(now=now)
    return status_messages.call_webhooks(now=now)


def is_signed(request: Received, secret: str) -> bool:
    parts = dict(part.split("=", 1) for part in request.headers["x-opsportal-signature"].split(","))
    signed = f"{parts['t']}.".encode() + request.body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(parts["v1"], expected)


def path_of(url: str) -> str:
    return re.sub(r"^https?://[^/]+", "", url)


def add_update(text: str = "A disk is full.", **fields: object) -> IncidentUpdate:
    shop = make_component(title="Shop", is_public=True)
    incident = Incident.objects.create(
        title="Outage", component=shop, started_at=timezone.now(), is_public=True, **fields
    )
    return IncidentUpdate.objects.create(
        incident=incident, at=timezone.now(), state=IncidentState.IDENTIFIED, text=text
    )


def test_a_webhook_is_confirmed_called_once_per_update_and_unsubscribed(
    client: Client, fake: FakeHTTP
) -> None:
    secret = subscribe(client, f"{fake.url}/hook")
    add_update("Before the confirmation.")
    call_all()
    [first] = fake.requests
    confirmation = first.json()
    assert confirmation["type"] == "subscription.confirm"
    assert is_signed(first, secret)
    assert client.post(path_of(confirmation["confirm_url"])).status_code == 200

    update = add_update()
    call_all()
    call_all()

    [_, call] = fake.requests
    assert is_signed(call, secret)
    assert call.path == "/hook"
    body = call.json()
    assert body["type"] == "incident.update"
    assert body["incident"] | {"started_at": "", "url": ""} == {
        "id": update.incident_id,
        "title": "Outage",
        "state": "investigating",
        "is_major": False,
        "components": ["Shop"],
        "started_at": "",
        "resolved_at": None,
        "url": "",
    }
    assert (body["update"]["state"], body["update"]["text"]) == ("identified", "A disk is full.")
    assert client.post(path_of(body["unsubscribe_url"])).status_code == 200
    assert not Subscriber.objects.exists()


def test_an_unconfirmed_webhook_gets_no_updates_and_is_deleted(
    client: Client, fake: FakeHTTP
) -> None:
    subscribe(client, fake.url)
    add_update()
    call_all()
    call_all()
    assert [request.json()["type"] for request in fake.requests] == ["subscription.confirm"]

    subscribers.delete_unconfirmed(now=timezone.now() + timedelta(days=3))
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/",
        "ftp://shop.example/",
        "nonsense",
        "http://[::1]/",
        "https://shop.example:25/",
    ],
)
def test_addresses_that_the_portal_must_not_call_are_refused(client: Client, url: str) -> None:
    assert client.post(SUBSCRIBE, {"url": url}).status_code == 400
    assert not Subscriber.objects.exists()


def test_a_webhook_whose_address_becomes_private_is_not_called(
    client: Client, fake: FakeHTTP, settings: Settings
) -> None:
    subscribe(client, fake.url)
    settings.ALLOW_PRIVATE_URLS = []
    assert call_all() == {"sent": 0, "failed": 1}
    assert fake.requests == []


@pytest.fixture
def confirmed(fake: FakeHTTP) -> FakeHTTP:
    """Subscribe and confirm a webhook, and create an update at NOON that still has to be sent."""
    subscribers.subscribe_webhook(fake.url, now=NOON)
    Subscriber.objects.update(confirmed_at=NOON)
    StatusMail.objects.all().delete()
    incident = Incident.objects.create(title="Outage", started_at=NOON, is_public=True)
    IncidentUpdate.objects.create(incident=incident, at=NOON, state="identified", text="x")
    return fake


def test_a_failing_webhook_is_called_again_until_it_works(confirmed: FakeHTTP) -> None:
    confirmed.answer(500, times=2)
    for minute in range(30):
        call_all(NOON + timedelta(minutes=minute))

    assert len(confirmed.requests) == 3
    assert len({request.json()["id"] for request in confirmed.requests}) == 1
    assert StatusMail.objects.get().state == "sent"


def test_calls_about_old_updates_are_dropped(confirmed: FakeHTTP) -> None:
    confirmed.answer(404, times=None)
    for hour in range(10):
        call_all(NOON + timedelta(hours=hour))

    assert StatusMail.objects.get().state == "failed"
    assert Subscriber.objects.exists()


def test_a_webhook_that_is_gone_is_unsubscribed(confirmed: FakeHTTP) -> None:
    confirmed.answer(410)
    call_all(NOON)
    assert not Subscriber.objects.exists()
    assert call_all(NOON) == {"sent": 0, "failed": 0}


def test_a_failing_webhook_delays_no_other(client: Client, confirmed: FakeHTTP) -> None:
    subscribers.subscribe_webhook("http://127.0.0.1:9/", now=NOON)
    Subscriber.objects.update(confirmed_at=NOON)
    StatusMail.objects.all().delete()

    assert call_all(NOON) == {"sent": 1, "failed": 1}


def test_the_address_and_the_secret_are_encrypted(client: Client, fake: FakeHTTP) -> None:
    secret = subscribe(client, f"{fake.url}/private-path")
    rows = str(Subscriber.objects.values("address_hash", "sealed_address").get())
    assert "private-path" not in rows
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM health_subscriber")
        assert secret not in str(cursor.fetchall())


def test_requests_from_one_network_are_limited(client: Client, fake: FakeHTTP) -> None:
    codes = [client.post(SUBSCRIBE, {"url": fake.url}).status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
