"""Provide people on call, and the ways to reach them."""

from typing import Any

import pytest
from pytest_django import Settings

from alerts.models import (
    Channel,
    Person,
)
from tests.alerts.on_call.support import make_rule, make_schedule, make_step, no_other_steps
from tests.servers.fake_http import FakeHTTP


@pytest.fixture
def ann() -> Person:
    return Person.objects.create(name="Ann", email="ann@shop.example", phone="+15550111")


@pytest.fixture
def bob() -> Person:
    return Person.objects.create(name="Bob", email="bob@shop.example", phone="+15550222")


@pytest.fixture
def voice(fake_http: Any, settings: Settings, twilio: FakeHTTP) -> Channel:
    no_other_steps()
    return Channel.objects.create(
        name="voice",
        kind="voice",
        config={"account_sid": "AC1", "auth_token": "secret", "sender": "+15550001"},
        uses_environment=True,
    )


@pytest.fixture
def three_ways(ann: Person, voice: Channel, slack: FakeHTTP) -> Person:
    """Put Ann on call. She is notified by Slack at once, by SMS after 3 minutes, and by phone after 10 minutes."""
    make_step(schedules=[make_schedule(ann)])
    for minutes, name in ((0, "slack"), (3, "sms"), (10, "voice")):
        make_rule(ann, minutes, Channel.objects.get(name=name))
    return ann
