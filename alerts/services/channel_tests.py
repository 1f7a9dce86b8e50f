"""Send test messages to a channel, through the routes of an alert type, or to a person.

A test of a channel uses its saved settings or the settings in a form. A test to a person uses the channels of the
person's own notification rules, or the default channels.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
from django.conf import settings
from django.db.models import Q

from alerts.channels import DeliveryFailed, Message, get_config, get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import (
    LEASE_DURATION,
    AlertType,
    Channel,
    ChannelTest,
    Notification,
    Person,
)
from alerts.queries import routing
from alerts.queries.channels import subject_of
from alerts.services import channel_state, delivery, paging
from alerts.services.delivery import Claimed, Result
from core.lib import formats

# A test that no worker has sent within this time is marked as refused.
EXPIRY = timedelta(minutes=10)


def send_test(channel: Channel, *, now: datetime, user_id: int | None = None) -> ChannelTest:
    """Request a test message to all recipients of a saved channel, regardless of quiet hours."""
    return _request(channel, _list_recipients(channel, now), now=now, user_id=user_id)


def send_tests_of_type(
    alert_type: AlertType, *, now: datetime, user_id: int | None = None
) -> list[ChannelTest]:
    """Request a test message through each configured channel that gets alerts of this type, regardless of quiet hours.

    A type that is only listed in the daily digest gets no tests.
    """
    if alert_type.digest_only:
        return []
    return [
        _request(
            channel,
            _list_recipients(channel, now),
            now=now,
            user_id=user_id,
            subject=subject_of(alert_type),
            title=f"Test: {alert_type.name}"[:200],
            text=f"This is a test of the alerts of the type “{alert_type.name}” ({alert_type.severity}), which are "
            f"sent to the channel “{channel.name}”. No action is needed.",
        )
        for channel in routing.list_channels(alert_type)
    ]


def send_tests_to_person(
    person: Person, *, now: datetime, user_id: int | None = None
) -> list[ChannelTest]:
    """Request a test message through each channel of the person's notification rules, or the default channels.

    The tests are sent immediately, regardless of the delays of the rules and the person's quiet hours. An inactive
    person gets no test.
    """
    if not person.is_active:
        return []
    return [
        _request(
            way.channel,
            way.recipients,
            now=now,
            user_id=user_id,
            subject=subject_of(person),
            title=f"Test: notifications to {person.name}"[:200],
            text=f"This is a test of “{way.channel.name}”. Alerts are sent there {_describe_delay(way.after)}.",
        )
        for way in paging.list_ways(person)
    ]


def _describe_delay(after: timedelta) -> str:
    return f"{formats.span(after)} after the first message" if after else "immediately"


def _list_recipients(channel: Channel, now: datetime) -> list[str]:
    destinations = routing.list_destinations([channel], severity=Severity.CRITICAL, now=now)
    return [address for destination in destinations for address in destination.recipients]


def _request(
    channel: Channel,
    recipients: Iterable[str],
    *,
    now: datetime,
    user_id: int | None,
    **fields: str,
) -> ChannelTest:
    return ChannelTest.objects.create(
        channel=channel,
        name=channel.name,
        kind=channel.kind,
        recipients=sorted(set(recipients)),
        created_at=now,
        user_id=user_id,
        **fields,
    )


def send_test_of_form(
    draft: Channel,
    *,
    changed: Mapping[str, str],
    recipients: list[str],
    now: datetime,
    user_id: int | None = None,
) -> ChannelTest:
    """Request a test message with the settings in a form.

    `changed` contains the settings that differ from the saved ones.
    """
    return ChannelTest.objects.create(
        channel_id=draft.pk,
        name=draft.name or get_transport(draft).label,
        kind=draft.kind,
        config=dict(changed),
        uses_environment=draft.uses_environment,
        recipients=sorted(set(recipients)),
        created_at=now,
        user_id=user_id,
    )


def claim_waiting(*, now: datetime, limit: int) -> list[ChannelTest]:
    """Claim up to `limit` waiting tests, and return them. Tests that have waited too long are marked as refused."""
    claimed = []
    available = Q(state=ChannelTest.State.WAITING) | Q(
        state=ChannelTest.State.SENDING, lease_until__lt=now
    )
    for test in (
        ChannelTest.objects.filter(available).select_related("channel").order_by("pk")[:limit]
    ):
        row = ChannelTest.objects.filter(available, pk=test.pk)
        if test.created_at < now - EXPIRY:
            row.update(
                state=ChannelTest.State.REFUSED,
                answer="No worker process has sent the test. Check that one is running.",
                finished_at=now,
                config={},
            )
        elif row.update(state=ChannelTest.State.SENDING, lease_until=now + LEASE_DURATION):
            claimed.append(test)
    return claimed


def build_claim(test: ChannelTest) -> Claimed:
    """Return the test message as a claimed notification that is not stored in the outbox."""
    saved = test.channel
    is_draft = bool(test.config) or saved is None
    channel = Channel(
        pk=test.channel_id,
        name=test.name,
        kind=test.kind,
        config={**(saved.config if saved else {}), **test.config},
        uses_environment=test.uses_environment
        if is_draft or saved is None
        else saved.uses_environment,
    )
    key = f"test:{test.pk}:{int(test.created_at.timestamp())}"
    notification = Notification(
        channel=channel, kind=MessageKind.TEST, idempotency_key=key, stream=key
    )
    return Claimed(
        notification,
        get_transport(channel),
        get_config(channel),
        _compose(test, key),
        test.created_at,
    )


def send(claimed: list[Claimed]) -> Result:
    """Send the test messages one after the other until one fails, and return the result of the last send.

    Without messages, the result is a failure.
    """
    result = Result(failure=DeliveryFailed("it has no recipients"))
    for one in claimed:
        result = delivery.send(one)
        if result.failure:
            break
    return result


def record(test: ChannelTest, result: Result, *, now: datetime) -> None:
    """Store the provider's answer. If a test of the saved settings was delivered, mark the channel as working."""
    failure = result.failure
    state = ChannelTest.State.REFUSED if failure else ChannelTest.State.DELIVERED
    ChannelTest.objects.filter(pk=test.pk).update(
        state=state,
        answer=str(failure or result.receipt.answer)[:2000],
        finished_at=now,
        lease_until=None,
        config={},
    )
    if failure is None and test.channel is not None and not test.config:
        channel_state.record_success(test.channel, started_at=test.created_at, now=now)


def run_test(test: ChannelTest, *, now: datetime) -> ChannelTest:
    """Send a test in this process and wait for the answer. Management commands use this function."""
    record(test, send(split(test)), now=now)
    test.refresh_from_db()
    return test


def split(test: ChannelTest) -> list[Claimed]:
    """Return one message per recipient if the service requires separate messages, or else one message."""
    claimed = build_claim(test)
    if not claimed.transport.sends_individually:
        return [claimed]
    return [
        dataclasses.replace(
            claimed, message=msgspec.structs.replace(claimed.message, recipients=[recipient])
        )
        for recipient in test.recipients
    ]


def _compose(test: ChannelTest, key: str) -> Message:
    label = get_transport(Channel(kind=test.kind)).label
    return Message(
        kind=MessageKind.TEST,
        title=test.title or "Test from opsportal",
        text=test.text
        or f'This is a test message for the {label} channel "{test.name}". No action is needed.',
        severity=Severity.INFO,
        source="opsportal",
        url=f"{settings.BASE_URL}/admin/alerts/channel/",
        at=test.created_at,
        thread=key,
        recipients=list(test.recipients),
    )
