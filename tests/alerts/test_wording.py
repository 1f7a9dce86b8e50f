"""Test that messages repeat no information, and that they use the right plurals."""

import pytest

from alerts.channels.base import Message, MessageKind
from alerts.channels.email import build_email
from alerts.channels.sms import build_segment
from alerts.channels.teams import build_card
from alerts.models import Notification
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def resolution(title: str) -> Message:
    return Message(kind=MessageKind.RESOLVED, title=title, severity="critical", at=NOON)


@pytest.mark.parametrize(
    ("title", "word"),
    [
        ("Resolved: Error rate: Shop", "resolved"),
        ("Resolved after 4 min: Error rate: Shop", "resolved after 4 min"),
    ],
)
def test_a_resolution_says_resolved_only_once(title: str, word: str) -> None:
    message = resolution(title)
    mail = build_email(message, sender="", key="k")
    html = str(mail.alternatives[0][0])
    card = str(build_card(message))

    assert mail.subject == f"[{word}] Error rate: Shop"
    assert str(mail.body).splitlines()[0] == f"{word.upper()}: Error rate: Shop"
    assert build_segment(message) == f"{word.upper()}: Error rate: Shop"
    for text in (html.partition("<body")[2], card):
        assert text.lower().count("resolved") == 1


def test_an_email_about_an_alert_states_the_limits_and_has_correct_plurals(
    gauge: Gauge, mail: MailServer
) -> None:
    gauge.row(threshold=0, clear_threshold=0)
    gauge.evaluate(1, now=NOON)
    deliver(NOON)

    text = mail.mails[0].get_payload(0).get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "1 error, above the threshold of 0 errors (over 1 h)." in text
    assert "Value: 1 error\n" in text.replace("\r\n", "\n")
    assert "Resolves at: ≤ 0 errors" in text


def test_a_resolution_does_not_state_the_value_at_which_the_alert_resolves(
    gauge: Gauge, mail: MailServer
) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    gauge.evaluate(0, now=NOON + MINUTE)

    facts = dict(Notification.objects.filter(kind="resolved")[0].payload["facts"])
    assert facts["Value"] == "0 errors"
    assert "Resolves at" not in facts
