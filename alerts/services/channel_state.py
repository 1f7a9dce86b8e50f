"""How a channel is doing: working, failing since when, or disabled because its address is no longer good."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, QuerySet

from alerts.channels import Message, configured, transport_of
from alerts.models import Channel, Notification, NotificationState
from alerts.queries import routing
from alerts.rules import Severity
from alerts.services import outbox

# A failing channel is asked this often whether it works again, with the oldest message it failed to take.
REVIVE_EVERY = timedelta(minutes=5)


def worked_on(channel: Channel, *, now: datetime) -> None:
    """It took a message; if it had been failing, everything it failed to take is tried again."""
    recovered = Channel.objects.filter(pk=channel.pk, failing_since__isnull=False).update(
        failing_since=None, last_error=""
    )
    Channel.objects.filter(pk=channel.pk).update(last_success_at=now)
    if recovered:
        lost = _worth_reviving(channel, now)
        pks = list(lost.order_by("pk").values_list("pk", flat=True))
        _revive(pks, attempts=3, now=now)


def failed_on(channel: Channel, text: str, *, is_gone: bool, now: datetime) -> None:
    Channel.objects.filter(pk=channel.pk, failing_since=None).update(failing_since=now)
    Channel.objects.filter(pk=channel.pk).update(last_error=text)
    if is_gone and Channel.objects.filter(pk=channel.pk, is_enabled=True).update(
        is_enabled=False, disabled_reason=text
    ):
        _tell_others(channel, text, now=now)


def revive_failing(*, now: datetime) -> int:
    """Give each failing channel one of its lost messages to try; how many."""
    revived = 0
    for channel in Channel.objects.filter(is_enabled=True, failing_since__isnull=False):
        took = (
            Channel.objects.filter(pk=channel.pk)
            .exclude(last_revived_at__gt=now - REVIVE_EVERY)
            .update(last_revived_at=now)
        )
        oldest = _worth_reviving(channel, now).order_by("pk").values_list("pk", flat=True)[:1]
        if took:
            revived += _revive(list(oldest), attempts=1, now=now)
    return revived


def enable(channel: Channel, *, now: datetime) -> None:
    """Staff have mended it; what waited for it goes out."""
    Channel.objects.filter(pk=channel.pk).update(
        is_enabled=True, disabled_reason="", failing_since=None, last_error=""
    )
    pks = list(_worth_reviving(channel, now).order_by("pk").values_list("pk", flat=True))
    _revive(pks, attempts=3, now=now)


def _worth_reviving(channel: Channel, now: datetime) -> QuerySet[Notification]:
    return Notification.objects.failed().filter(
        channel=channel, is_permanent_failure=False, deadline_at__gt=now
    )


def _revive(pks: list[int], *, attempts: int, now: datetime) -> int:
    revived = Notification.objects.filter(pk__in=pks, state=NotificationState.FAILED).update(
        state=NotificationState.WAITING,
        next_attempt_at=now,
        attempts_allowed=F("attempt_count") + attempts,
    )
    for pk in pks:
        outbox.nudge(pk)
    return revived


def _tell_others(channel: Channel, text: str, *, now: datetime) -> None:
    """On the first other channel that works: this one does not any more."""
    others = Channel.objects.enabled().exclude(pk=channel.pk).order_by("failing_since", "pk")
    for other in configured(others)[:1]:
        for way in routing.destinations([other], severity=Severity.CRITICAL, now=now):
            outbox.put(
                channel=other,
                kind=Notification.Kind.NOTICE,
                key=f"disabled:{channel.pk}:{int(now.timestamp())}:{way.label}",
                stream=f"notice/{way.label}",
                message=Message(
                    kind=Notification.Kind.NOTICE,
                    title=f"The channel {channel.name} was disabled",
                    text=f"Its provider does not take our messages any more: {text}",
                    severity="high",
                    source="opsportal",
                    url=f"{settings.BASE_URL}/admin/alerts/channel/{channel.pk}/change/",
                    at=now,
                    recipients=list(way.recipients),
                ),
                now=now,
            )


def send_test(channel: Channel, *, now: datetime) -> Notification:
    """A test message to all of the channel's recipients, quiet hours or not; its row shows the provider's answer."""
    transport = transport_of(channel)
    recipients = {
        recipient
        for way in routing.destinations([channel], severity=Severity.CRITICAL, now=now)
        for recipient in way.recipients
    }
    key = f"test:{channel.pk}:{uuid.uuid4()}"
    notification = outbox.put(
        channel=channel,
        kind=Notification.Kind.TEST,
        key=key,
        stream=key,
        message=Message(
            kind=Notification.Kind.TEST,
            title="Test from opsportal",
            text=f"This is a test of the {transport.label} channel {channel.name}. Nothing is wrong.",
            severity=Severity.INFO,
            source="opsportal",
            url=f"{settings.BASE_URL}/admin/alerts/channel/",
            at=now,
            thread=key,
            recipients=sorted(recipients),
        ),
        now=now,
    )
    assert notification is not None  # the key is new
    return notification
