"""Maintain the state of channels: working, failing, or disabled because the address is no longer valid.

All nodes share the state through the database. While a channel fails, the nodes together send it only one message at a
time, starting at `retry_at`. All other messages to the channel wait.
"""

import random
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, F, Value, When

from alerts.channels import DeliveryFailed, Message, filter_configured
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import LEASE_DURATION, Channel, Notification, NotificationState
from alerts.queries import routing
from alerts.services import outbox
from alerts.services.routes import announce_soon

INITIAL_BACKOFF = timedelta(seconds=10)
MAX_BACKOFF = timedelta(minutes=5)
# A message that failed more often than this may itself cause the failures of its channel, so it is sent after the other
# messages when the channel recovers.
SUSPICIOUS_ATTEMPT_COUNT = 6


def backoff(failure_count: int, retry_after: float | None) -> timedelta:
    """Return a random delay, up to a limit that grows exponentially with the number of failures.

    `retry_after` is the minimum in seconds, capped at one hour.
    """
    longest = min(INITIAL_BACKOFF * 2 ** min(failure_count - 1, 10), MAX_BACKOFF)
    asked = timedelta(seconds=min(retry_after or 0, 3600))
    jittered: timedelta = longest * random.random()  # noqa: S311
    return max(jittered, asked)


def record_success(channel: Channel, *, started_at: datetime, now: datetime) -> None:
    """Record a delivery. If the channel was failing, requeue its failed messages, except refused ones.

    A send that started before the first failure does not end the failing state, because the provider may since have
    required a delay.
    """
    recovered = Channel.objects.filter(pk=channel.pk, failing_since__lte=started_at).update(
        failing_since=None, last_error="", failure_count=0, retry_at=None
    )
    Channel.objects.filter(pk=channel.pk).update(last_success_at=now)
    if recovered:
        held = Notification.objects.held(now).filter(channel=channel, is_permanent_failure=False)
        _requeue(list(held.values_list("pk", flat=True)), attempts=3, now=now)


def record_failure(
    channel: Channel, failure: DeliveryFailed, *, is_probe: bool, now: datetime
) -> None:
    """Mark the channel as failing and hold its messages back until the next probe is due.

    If its address or credentials are no longer valid, disable the channel and report this through another
    configured channel, if there is one. If the provider refused only this message, no other messages are held back.
    """
    text = str(failure)[:2000]
    row = Channel.objects.filter(pk=channel.pk)
    row.filter(failing_since=None).update(failing_since=now)
    row.update(last_error=text)
    if failure.is_gone:
        if row.filter(is_enabled=True).update(is_enabled=False, disabled_reason=text):
            _report_through_another_channel(channel, text, now=now)
        return
    if failure.is_permanent:
        if is_probe:  # The provider refused the message, but responded, so the channel works.
            row.update(retry_at=None, failure_count=0)
        return
    count = channel.failure_count + 1
    # If several sends fail at the same time, only the first failure counts.
    first = row.filter(failure_count=channel.failure_count)
    if (
        not first.update(failure_count=count, retry_at=now + backoff(count, failure.retry_after))
        and failure.retry_after
    ):
        asked_at = now + timedelta(seconds=min(failure.retry_after, 3600))
        row.filter(retry_at__lt=asked_at).update(retry_at=asked_at)


def claim_probe(channel: Channel, *, now: datetime) -> bool:
    """Return True if this node may send one message to the failing channel.

    No other node gets the permission until this send has ended or LEASE_DURATION has passed.
    """
    return bool(
        Channel.objects.filter(pk=channel.pk, retry_at=channel.retry_at).update(
            retry_at=now + LEASE_DURATION
        )
    )


def abandon_probe(channel: Channel, *, now: datetime) -> None:
    """Give up the permission to probe the channel, so that any node can probe it.

    `now` must be the time that was passed to `claim_probe`.
    """
    Channel.objects.filter(pk=channel.pk, retry_at=now + LEASE_DURATION).update(retry_at=now)


def retry_oldest_failed(channel: Channel, *, now: datetime) -> None:
    """Requeue one failed message to probe the channel: the oldest of those with the fewest attempts."""
    held = Notification.objects.held(now).filter(channel=channel, is_permanent_failure=False)
    oldest = held.order_by("attempt_count", "pk").values_list("pk", flat=True)[:1]
    _requeue(list(oldest), attempts=1, now=now)


def enable_channel(channel: Channel, *, now: datetime) -> None:
    """Enable a channel that staff have fixed, and requeue the failed messages that are still worth sending."""
    Channel.objects.filter(pk=channel.pk).update(is_enabled=True)
    repair_channel(channel, now=now)


def repair_channel(channel: Channel, *, now: datetime) -> None:
    """Clear the failures of a channel that staff have changed, and requeue the failed messages still worth sending.

    This includes messages that the provider refused permanently, because the settings may have been the reason.
    """
    Channel.objects.filter(pk=channel.pk).update(
        disabled_reason="", failing_since=None, last_error="", failure_count=0, retry_at=None
    )
    held = Notification.objects.held(now).filter(channel=channel)
    _requeue(list(held.values_list("pk", flat=True)), attempts=3, now=now)
    announce_soon()


def _requeue(pks: list[int], *, attempts: int, now: datetime) -> None:
    Notification.objects.filter(pk__in=pks, state=NotificationState.FAILED).update(
        state=NotificationState.WAITING,
        next_attempt_at=Case(
            When(attempt_count__gt=SUSPICIOUS_ATTEMPT_COUNT, then=Value(now + MAX_BACKOFF)),
            default=Value(now),
        ),
        attempts_allowed=F("attempt_count") + attempts,
        is_permanent_failure=False,
    )


def _report_through_another_channel(channel: Channel, text: str, *, now: datetime) -> None:
    """Report through another configured channel, preferably a working one, that `channel` was disabled.

    Paused channels and channels without a recipient are skipped.
    """
    working_first = F("failing_since").asc(nulls_first=True)
    others = Channel.objects.enabled().exclude(pk=channel.pk).exclude(max_per_minute=0)
    for other in filter_configured(others.order_by(working_first, "pk")):
        destinations = routing.list_destinations([other], severity=Severity.CRITICAL, now=now)
        for destination in destinations:
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
        if destinations:
            return
