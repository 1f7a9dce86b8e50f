"""Test that a message contains the cost of its alert at the time of the first attempt to send it."""

import pytest
from django.utils import timezone

from alerts.models import Notification
from alerts.services import deliver_waiting
from impact.references import References
from tests.factories import make_alert, make_payment
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


def test_a_message_states_the_cost_of_the_alert_at_the_time_of_sending(slack: FakeHTTP) -> None:
    make_alert(references=References(order_ids=frozenset({"o-1", "o-2"})))
    for order in ("o-1", "o-2"):
        make_payment(order_id=order, amount=4500, status="processing")

    deliver_waiting(now=timezone.now())

    [sent] = slack.requests
    assert "2 orders, 90.00 EUR at risk" in sent.body.decode()
    stored = Notification.objects.get(channel__name="slack").payload["impact"]
    assert stored == "2 orders, 90.00 EUR at risk"


def test_a_message_about_an_alert_without_orders_does_not_mention_money(slack: FakeHTTP) -> None:
    make_payment(order_id="o-1", status="processing")
    make_alert()

    deliver_waiting(now=timezone.now())

    [sent] = slack.requests
    assert "EUR" not in sent.body.decode()
