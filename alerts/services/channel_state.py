"""The state of channels: working, failing since a time, or disabled because the address is no longer valid."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, QuerySet

from alerts.channels import Message, filter_configured, get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import Channel, Notification, NotificationState
from alerts.queries import routing
from alerts.services import outbox

# Interval at which a failing channel is probed with the oldest notification that it failed to deliver.
RETRY_INTERVAL = timedelta(minutes=5)


def record_success(channel: Channel, *, now: datetime) -> None:
    """Record a delivery. If the channel had been failing, retry everything that it failed to deliver."""
    recovered = Channel.objects.filter(pk=channel.pk, failing_since__isnull=False).update(
        failing_since=None, last_error=""
    )
    Channel.objects.filter(pk=channel.pk).update(last_success_at=now)
    if recovered:
        failed = _retryable(channel, now)
        pks = list(failed.order_by("pk").values_list("pk", flat=True))
        _requeue(pks, attempts=3, now=now)


def record_failure(channel: Channel, text: str, *, is_gone: bool, now: datetime) -> None:
    """Mark the channel as failing. Disable it, and report that, if its address or credentials are no longer valid."""
    Channel.objects.filter(pk=channel.pk, failing_since=None).update(failing_since=now)
    Channel.objects.filter(pk=channel.pk).update(last_error=text)
    if is_gone and Channel.objects.filter(pk=channel.pk, is_enabled=True).update(
        is_enabled=False, disabled_reason=text
    ):
        _report_through_another_channel(channel, text, now=now)


def retry_failing_channels(*, now: datetime) -> int:
    """Requeue one failed notification for each failing channel, and return their number."""
    requeued = 0
    for channel in Channel.objects.filter(is_enabled=True, failing_since__isnull=False):
        claimed = (
            Channel.objects.filter(pk=channel.pk)
            .exclude(last_revived_at__gt=now - RETRY_INTERVAL)
            .update(last_revived_at=now)
        )
        oldest = _retryable(channel, now).order_by("pk").values_list("pk", flat=True)[:1]
        if claimed:
            requeued += _requeue(list(oldest), attempts=1, now=now)
    return requeued


def enable_channel(channel: Channel, *, now: datetime) -> None:
    """Enable a channel that staff have fixed, and retry its failed notifications."""
    Channel.objects.filter(pk=channel.pk).update(
        is_enabled=True, disabled_reason="", failing_since=None, last_error=""
    )
    pks = list(_retryable(channel, now).order_by("pk").values_list("pk", flat=True))
    _requeue(pks, attempts=3, now=now)


def _retryable(channel: Channel, now: datetime) -> QuerySet[Notification]:
    return Notification.objects.failed().filter(
        channel=channel, is_permanent_failure=False, deadline_at__gt=now
    )


def _requeue(pks: list[int], *, attempts: int, now: datetime) -> int:
    requeued = Notification.objects.filter(pk__in=pks, state=NotificationState.FAILED).update(
        state=NotificationState.WAITING,
        next_attempt_at=now,
        attempts_allowed=F("attempt_count") + attempts,
    )
    for pk in pks:
        outbox.wake_worker(pk)
    return requeued


def _report_through_another_channel(channel: Channel, text: str, *, now: datetime) -> None:
    """Report on the first other configured channel, preferably a working one, that this channel was disabled."""
    others = Channel.objects.enabled().exclude(pk=channel.pk).order_by("failing_since", "pk")
    for other in filter_configured(others)[:1]:
        for destination in routing.list_destinations([other], severity=Severity.CRITICAL, now=now):
            outbox.enqueue_notification(
                channel=other,
                kind=MessageKind.NOTICE,
                key=f"disabled:{channel.pk}:{int(now.timestamp())}:{destination.label}",
                stream=f"notice/{destination.label}",
                message=Message(
                    kind=MessageKind.NOTICE,
                    title=f'The channel "{channel.name}" was disabled',
                    text=f"The provider rejected our credentials or address: {text}",
                    severity="high",
                    source="opsportal",
                    url=f"{settings.BASE_URL}/admin/alerts/channel/{channel.pk}/change/",
                    at=now,
                    recipients=list(destination.recipients),
                ),
                now=now,
            )


def send_test(channel: Channel, *, now: datetime) -> Notification:
    """Enqueue a test message to all recipients, regardless of quiet hours. Its attempts show the provider's answer."""
    transport = get_transport(channel)
    recipients = {
        recipient
        for destination in routing.list_destinations([channel], severity=Severity.CRITICAL, now=now)
        for recipient in destination.recipients
    }
    key = f"test:{channel.pk}:{uuid.uuid4()}"
    notification = outbox.enqueue_notification(
        channel=channel,
        kind=MessageKind.TEST,
        key=key,
        stream=key,
        message=Message(
            kind=MessageKind.TEST,
            title="Test from opsportal",
            text=f'This is a test message for the {transport.label} channel "{channel.name}". No action is needed.',
            severity=Severity.INFO,
            source="opsportal",
            url=f"{settings.BASE_URL}/admin/alerts/channel/",
            at=now,
            thread=key,
            recipients=sorted(recipients),
        ),
        now=now,
    )
    assert notification is not None  # the key contains a new UUID
    return notification
