"""Test subscribing by e-mail to incident updates on the status page."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from health.models import Incident, IncidentState, IncidentUpdate, StatusMail, Subscriber
from health.services import status_messages, subscribers
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def link(word: str) -> str:
    found = re.search(rf"http\S+(/status/{word}/\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def send_all() -> None:
    now = timezone.now()
    subscribers.queue_updates(now=now)
    status_messages.send_pending(now=now)


def test_a_subscriber_confirms_receives_each_update_once_and_unsubscribes(client: Client) -> None:
    assert client.post("/status/subscribe/", {"address": "Ada@example.com"}).status_code == 200
    send_all()
    assert mail.outbox[-1].to == ["Ada@example.com"]
    confirm = link("confirm")
    # An e-mail scanner may open the link, so opening it must not confirm the subscription.
    assert client.get(confirm).status_code == 200
    assert not Subscriber.objects.confirmed().exists()
    assert client.post(confirm).status_code == 200

    incident = Incident.objects.create(title="Outage", started_at=timezone.now(), is_public=True)
    IncidentUpdate.objects.create(
        incident=incident,
        at=timezone.now(),
        state=IncidentState.IDENTIFIED,
        text="A disk is full.",
    )
    send_all()
    send_all()

    assert len(mail.outbox) == 2
    assert mail.outbox[-1].subject == "[Identified] Outage"
    assert "A disk is full." in mail.outbox[-1].body
    assert mail.outbox[-1].extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert client.post(link("leave")).status_code == 200
    assert not Subscriber.objects.exists()
    assert not StatusMail.objects.exists()


@pytest.fixture
def three_mails(mail_server: MailServer, settings: Settings) -> MailServer:
    """Queue an update for three subscribers, and return the mail server that will receive the e-mails."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    incident = Incident.objects.create(title="Outage", started_at=NOON, is_public=True)
    for name in ("ada", "bo", "cy"):
        subscribers.subscribe(f"{name}@example.com", now=NOON)
    Subscriber.objects.update(confirmed_at=NOON)
    StatusMail.objects.all().delete()  # Delete the confirmation e-mails.
    IncidentUpdate.objects.create(
        incident=incident, at=NOON, state=IncidentState.IDENTIFIED, text="x"
    )
    subscribers.queue_updates(now=NOON)
    return mail_server


def test_while_the_mail_server_does_not_work_each_run_tries_one_email_and_none_is_lost(
    three_mails: MailServer,
) -> None:
    three_mails.refuse_sender_with("451 out of disk space")
    for minute in range(60):
        sent = status_messages.send_pending(now=NOON + timedelta(minutes=minute))
        assert sent["sent"] == 0
        assert sent["failed"] <= 1

    three_mails.refuse_sender_with("")
    for minute in range(60, 90):
        status_messages.send_pending(now=NOON + timedelta(minutes=minute))

    assert len(three_mails.mails) == 3


def test_a_refused_email_is_dropped_and_does_not_delay_the_others(three_mails: MailServer) -> None:
    three_mails.refuse_with("550 no such user")
    for minute in range(60):
        status_messages.send_pending(now=NOON + timedelta(minutes=minute))

    rows = StatusMail.objects.values_list("state", "attempts")
    assert list(rows) == [("failed", 3)] * 3


def test_emails_about_old_updates_are_dropped(three_mails: MailServer) -> None:
    three_mails.refuse_sender_with("451 out of disk space")
    for hour in range(10):
        for minute in range(3):
            status_messages.send_pending(now=NOON + timedelta(hours=hour, minutes=minute))

    assert set(StatusMail.objects.values_list("state", flat=True)) == {"failed"}


def test_addresses_are_encrypted_in_the_database() -> None:
    subscribers.subscribe("ada@example.com", now=timezone.now())
    row = Subscriber.objects.values().get()
    assert "example.com" not in str(row).lower()


def test_invalid_addresses_and_too_many_requests_are_rejected(client: Client) -> None:
    assert client.post("/status/subscribe/", {"address": "ada"}).status_code == 400
    codes = [
        client.post("/status/subscribe/", {"address": f"a{n}@example.com"}).status_code
        for n in range(6)
    ]
    assert codes == [200] * 5 + [429]


def test_a_repeated_request_sends_one_email_and_unconfirmed_addresses_are_deleted() -> None:
    now = timezone.now()
    subscribers.subscribe("ada@example.com", now=now)
    subscribers.subscribe("ADA@example.com ", now=now)
    assert StatusMail.objects.count() == 1

    assert subscribers.delete_unconfirmed(now=now + timedelta(hours=47)) == 0
    assert subscribers.delete_unconfirmed(now=now + timedelta(hours=49)) > 0
