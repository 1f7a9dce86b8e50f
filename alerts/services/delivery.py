"""Deliver one notification: claim it, call the provider, and record the result.

The claim is committed before the call, so that two nodes never send a notification at the same time. Only `send` waits
for the provider, and `send` does not use the database.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec
from django.db import transaction
from django.db.models import F

from alerts import messages
from alerts.channels import (
    DeliveryFailed,
    Message,
    Receipt,
    Transport,
    get_config,
    get_transport,
)
from alerts.channels.base import Config, MessageKind
from alerts.models import (
    FIRING_KINDS,
    UNFINISHED_STATES,
    AlertEvent,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.queries.impact import alert_impact
from alerts.services import channel_state, grouping, outbox, paging
from alerts.services.transitions import add_timeline_entry

log = logging.getLogger(__name__)


class DeliveryOutcome(StrEnum):
    """The result of an attempt to deliver a notification."""

    NOT_DUE = "not due"  # The notification is not due yet, or another node has claimed it.
    SENT = "sent"
    RETRY = "retry"  # The attempt failed, but another attempt will follow.
    FAILED = "failed"
    GIVEN_UP = "given up"  # The deadline has passed, or nodes that were sending the notification failed too often.
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Claimed:
    """A notification that this node has claimed, with everything that `send` needs."""

    notification: Notification
    transport: Transport
    config: Config
    message: Message
    started_at: datetime
    is_probe: bool = False


@dataclass(frozen=True)
class Result:
    """The result of one call to the provider."""

    receipt: Receipt = Receipt()  # noqa: RUF009 - immutable
    failure: DeliveryFailed | None = None
    duration_ms: int = 0


def deliver(*, notification_id: int, now: datetime) -> DeliveryOutcome:
    """Send a notification if it is due and no other node has claimed it, and wait for the provider."""
    claimed = claim(notification_id, now=now)
    if isinstance(claimed, DeliveryOutcome):
        return claimed
    return record(claimed, send(claimed), now=now)


def claim(
    notification_id: int, *, now: datetime, owner: str = "", is_probe: bool = False
) -> Claimed | DeliveryOutcome:
    """Claim a due notification and load its message. If there is nothing to send, return the reason."""
    if Notification.objects.claim(notification_id, now=now, owner=owner) is None:
        return DeliveryOutcome.NOT_DUE
    notification = Notification.objects.select_related("channel", "alert__rule").get(
        pk=notification_id
    )
    if Notification.objects.outdated(now).filter(pk=notification_id).exists():
        return fail(notification, "its deadline passed before it could be sent", now=now)
    if notification.attempt_count > notification.attempts_allowed:
        return fail(notification, "the process that was sending it stopped", now=now)
    obsolete = paging.is_obsolete(notification, now=now)
    if obsolete:
        return _supersede(notification, obsolete, now=now)
    message = _load_message(notification)
    if message is None:
        return _supersede(notification, "the alert was never delivered", now=now)
    channel = notification.channel
    return Claimed(
        notification,
        get_transport(channel),
        get_config(channel),
        grouping.merge_related(notification, _add_impact(notification, message, now), now=now),
        now,
        is_probe,
    )


def send(claimed: Claimed) -> Result:
    """Call the provider once. This function raises no exception and does not use the database."""
    started = time.monotonic()
    try:
        receipt = claimed.transport.send(
            claimed.message,
            claimed.config,
            idempotency_key=_provider_key(claimed.notification),
        )
        failure = None
    except DeliveryFailed as error:
        receipt, failure = Receipt(), error
    except Exception as error:
        # The exception is a bug in the portal. Report it as a failure, so that the notification does not stay claimed.
        log.exception(
            "a channel failed unexpectedly", extra={"channel": claimed.notification.channel.name}
        )
        receipt, failure = Receipt(), DeliveryFailed(f"{type(error).__name__}: {error}")
    return Result(receipt, failure, int((time.monotonic() - started) * 1000))


@transaction.atomic
def record(claimed: Claimed, result: Result, *, now: datetime) -> DeliveryOutcome:
    """Store the attempt and its result, and update the notification and its channel."""
    notification = claimed.notification
    DeliveryAttempt.objects.create(
        notification=notification,
        channel=notification.channel,
        number=notification.attempt_count,
        started_at=claimed.started_at,
        duration_ms=result.duration_ms,
        is_success=result.failure is None,
        answer=str(result.failure) if result.failure else result.receipt.answer,
    )
    if result.failure:
        return _record_failure(claimed, result.failure, now=now)
    return _record_success(claimed, result.receipt, now=now)


def resend(notification: Notification, *, now: datetime) -> bool:
    """Requeue a finished notification for three more attempts. Return False if the notification is not finished."""
    return bool(
        Notification.objects.filter(pk=notification.pk)
        .exclude(state__in=UNFINISHED_STATES)
        .update(
            state=NotificationState.WAITING,
            next_attempt_at=now,
            due_at=now,
            deadline_at=now + outbox.DELIVERY_DEADLINE,
            attempts_allowed=F("attempt_count") + 3,
            is_permanent_failure=False,
            merged_into=None,
        )
    )


def fail(notification: Notification, reason: str, *, now: datetime) -> DeliveryOutcome:
    """Mark a notification as failed without calling the provider."""
    with transaction.atomic():
        text = f"{reason} (last: {notification.error})" if notification.error else reason
        failed = Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
            state=NotificationState.FAILED, error=text, lease=None, lease_until=None
        )
        if failed:
            grouping.release([notification.pk], now=now)
            _add_failure_to_timeline(notification, text, now=now)
    return DeliveryOutcome.GIVEN_UP


def _load_message(notification: Notification) -> Message | None:
    """Return the message to send, or None if no message should be sent.

    If the alert was never delivered, its resolution has a different text, and some services get no resolution.
    """
    message = messages.from_payload(notification.payload)
    if notification.kind != MessageKind.RESOLVED:
        return message
    before = (
        Notification.objects.filter(
            stream=notification.stream,
            pk__lt=notification.pk,
            sent_at__isnull=False,
            kind__in=[*FIRING_KINDS, MessageKind.RESOLVED],
        )
        .order_by("-pk")
        .values_list("kind", flat=True)
        .first()
    )
    if before in FIRING_KINDS:
        return message
    if not get_transport(notification.channel).sends_unannounced_resolutions:
        return None
    return messages.for_unannounced_resolution(message)


def _add_impact(notification: Notification, message: Message, now: datetime) -> Message:
    """Add the cost of the alert to the message at the first attempt. Retries send the same content."""
    if notification.alert is None or notification.attempt_count != 1 or message.impact:
        return message
    try:
        with transaction.atomic():
            cost = alert_impact(notification.alert, now=now)
    except Exception:
        # Without figures, the message is still useful, so a failure here must not prevent the delivery.
        log.exception(
            "the impact of an alert is missing in a message",
            extra={"notification": notification.pk},
        )
        return message
    stored = messages.from_payload(notification.payload)
    with_cost = {"impact": cost.sentence, "estimate": cost.estimate_sentence}
    stored = msgspec.structs.replace(stored, **with_cost)
    Notification.objects.filter(pk=notification.pk).update(payload=messages.to_payload(stored))
    return msgspec.structs.replace(message, **with_cost)


def _provider_key(notification: Notification) -> str:
    """Return an idempotency key that is the same for all retries. It changes if staff resend a delivered message."""
    again = f":again-{notification.sent_at.timestamp():.0f}" if notification.sent_at else ""
    return f"{notification.idempotency_key}{again}"


def _record_success(claimed: Claimed, receipt: Receipt, *, now: datetime) -> DeliveryOutcome:
    # The update does not check the lease, because the message was sent even if another node has taken over.
    Notification.objects.filter(pk=claimed.notification.pk).exclude(
        state=NotificationState.SENT
    ).update(
        state=NotificationState.SENT,
        sent_at=now,
        error="",
        lease=None,
        lease_until=None,
        provider_reference=receipt.reference[:200],
    )
    grouping.record_sent(claimed.notification, now=now)
    channel_state.record_success(
        claimed.notification.channel, started_at=claimed.started_at, now=now
    )
    return DeliveryOutcome.SENT


def _record_failure(claimed: Claimed, failure: DeliveryFailed, *, now: datetime) -> DeliveryOutcome:
    notification = claimed.notification
    text = str(failure)[:2000]
    is_last = (
        failure.is_permanent
        or failure.is_gone
        or notification.attempt_count >= notification.attempts_allowed
    )
    # The next attempt is due immediately, but the state of the channel delays it.
    Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
        state=NotificationState.FAILED if is_last else NotificationState.WAITING,
        is_permanent_failure=failure.is_permanent,
        next_attempt_at=now,
        error=text,
        lease=None,
        lease_until=None,
    )
    log.warning(
        "delivery failed",
        extra={
            "channel": notification.channel.name,
            "attempt": notification.attempt_count,
            "is_last": is_last,
            "answer": text[:500],
        },
    )
    channel_state.record_failure(notification.channel, failure, is_probe=claimed.is_probe, now=now)
    if is_last and failure.is_permanent:
        grouping.release([notification.pk], now=now)
    if is_last:
        _add_failure_to_timeline(notification, text, now=now)
    return DeliveryOutcome.FAILED if is_last else DeliveryOutcome.RETRY


def _supersede(notification: Notification, reason: str, *, now: datetime) -> DeliveryOutcome:
    Notification.objects.filter(pk=notification.pk, lease=notification.lease).update(
        state=NotificationState.SUPERSEDED, error=reason, lease=None, lease_until=None
    )
    grouping.release([notification.pk], now=now)
    return DeliveryOutcome.SUPERSEDED


def _add_failure_to_timeline(notification: Notification, text: str, *, now: datetime) -> None:
    if notification.alert:
        text = f"{notification.channel.name}: {text[:300]}"
        add_timeline_entry(notification.alert, AlertEvent.Kind.UNDELIVERED, text, now=now)
